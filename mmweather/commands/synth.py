"""`mmweather synth WEATHER IN OUT`: weather on demand on any pictures."""

from __future__ import annotations

import argparse
import os
import sys

from ._pixels import add_pixel_argument, with_pixel_limit

HELP = 'lay fog, rain, night, dust or cloud of a severity on pictures'
EXAMPLE = """mmweather synth fog street/ foggy/ --severity 3
mmweather synth rain 'shots/*.jpg' rainy/ --severity 5 --seed 1 --depth depth/
mmweather synth night house.png night.png --severity 2
mmweather synth cloud tiles/ cloudy/ --severity 4 --jobs 4"""

# Not read from mmweather.weather, which would load NumPy and OpenCV for `mmweather --help`; a test compares.
WEATHERS = ('fog', 'rain', 'night', 'dust', 'cloud')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('weather', choices=WEATHERS, help='cloud is for pictures from above')
    parser.add_argument('input', nargs='+', metavar='IN', help='picture, folder (with the folders in it) or pattern')
    parser.add_argument('out', metavar='OUT', help='folder for the results, which keep their names; or one picture')
    parser.add_argument('--severity', type=int, choices=range(1, 6), default=3,
                        help='1 light to 5 severe, see docs/weather.md (default: 3)')
    parser.add_argument('--seed', type=int, default=0,
                        help='equal pictures get equal weather from equal seeds (default: 0)')
    parser.add_argument('--depth', metavar='DIR', help='depth maps with the names of the pictures, .npy in metres or '
                        '16-bit PNG (default: none; the middle of the picture is far)')
    parser.add_argument('--depth-scale', type=float, metavar='METRES',
                        help='of one level (default: 1, 16-bit PNG 1/256)')
    parser.add_argument('--quality', type=int, default=95, help='of JPEG and WebP (default: 95)')
    parser.add_argument('--jobs', type=int, metavar='N', help='processes (default: all cores)')
    add_pixel_argument(parser)
    parser.add_argument('--overwrite', action='store_true', help='make again what is there already')


@with_pixel_limit
def run(args: argparse.Namespace) -> int:
    """Lay weather; 1 where a file failed."""
    from ..apis.restore_files import find_images
    from ..datasets.tools.weather_files import WeatherSettings, lay_weather
    from ..utils.text import printable
    from ..weather.severity import describe

    settings = WeatherSettings(args.weather, args.severity, args.seed, args.depth, args.depth_scale, args.quality)
    # Results inside an input folder are no inputs; results in the input folder itself are refused later.
    same = any(os.path.realpath(item) == os.path.realpath(args.out) for item in args.input)
    files = find_images(args.input, leave_out=None if same else args.out)
    jobs = (os.cpu_count() or 1) if args.jobs is None else args.jobs
    report = lay_weather(files, args.out, settings, jobs, args.overwrite)
    parameters = ', '.join(f'{name} {value:g}' for name, value in describe(args.weather, args.severity).items())
    print(f'{args.weather}, severity {args.severity} ({parameters}): {len(report.done)} made, {len(report.skipped)} '
          f'there already, {len(report.failed)} failed: {args.out}')
    for path, reason in report.failed.items():
        print(printable(f'failed: {path}: {reason}'), file=sys.stderr)
    return 1 if report.failed else 0
