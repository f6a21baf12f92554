"""`mmweather segment INPUT`: the class of every pixel from a trained segmentor."""

from __future__ import annotations

import argparse

from ._inference import add_input_arguments, add_model_arguments, add_run_arguments, infer

HELP = 'segment images and videos: files, folders or glob patterns'
EXAMPLE = """mmweather segment night/ImagesRGB --thermal night/ImagesIR --model heatnet_rgbt-late_4xb2-100k_freiburg --checkpoint heatnet.pth --out masks
mmweather segment 'shots/*.jpg' --model my_config.py --checkpoint best.pth --out masks --compare"""  # noqa: E501


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_model_arguments(parser, '<stem>.png with the classes in colour, <stem>_labels.png in grey whose values are the '
                        'class numbers, legend.png and legend.json with names and colours of the classes')
    add_input_arguments(parser, 'segment')
    parser.add_argument('--thermal-range', nargs=2, type=float, metavar=('LOW', 'HIGH'),
                        help='coldest and hottest count of the thermal images, which are stretched to what the model '
                             'was trained on (found out from bit depth and counts)')
    add_run_arguments(parser, 'segment')


def run(args: argparse.Namespace) -> int:
    """Segment; 1 where an input failed."""
    return infer(args, 'segment', thermal_range=args.thermal_range)
