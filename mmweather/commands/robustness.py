"""`mmweather robustness CONFIG CHECKPOINT`: a model's metrics in worse and worse weather."""

from __future__ import annotations

import argparse

from .synth import WEATHERS

HELP = 'test any mmdet, mmseg or mmagic model in weather of rising severity: table, CSV and curve'
EXAMPLE = """mmweather robustness yolox_tiny.py yolox_tiny.pth --weather fog rain night --out yolox_weather
mmweather robustness pspnet.py pspnet.pth --severities 1 3 5 --metric mIoU --out pspnet_weather
mmweather robustness cleannet.py cleannet.pth --weather rain --source gt --out cleannet_weather"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('config', help='config file with a test set and its evaluator')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='folder for cells, CSV and curve; a rerun measures what is missing')
    parser.add_argument('--weather', nargs='+', choices=WEATHERS, default=WEATHERS[:-1],
                        help='default: all but cloud, which is for pictures from above')
    parser.add_argument('--severities', nargs='+', type=int, choices=range(1, 6), default=(1, 2, 3, 4, 5),
                        help='default: 1 2 3 4 5')
    parser.add_argument('--metric', metavar='NAME', help='judged by this one, or its end, as in mIoU (default: a usual '
                        'one of the task)')
    parser.add_argument('--source', default='img', metavar='KEY',
                        help="image that gets weather: gt makes a restorer's input from its target (default: img)")
    parser.add_argument('--seed', type=int, default=0, help='of the weather (default: 0)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[],
                        help='replace settings of the config, e.g. test_dataloader.dataset.indices=100')


def run(args: argparse.Namespace) -> int:
    """Measure."""
    from ..apis.robustness.measure import measure_robustness
    from ..engine.runner import OptionsAction

    options: dict = {}
    if args.cfg_options:
        # MMEngine's parser of values; loading it for `--help` would take seconds.
        parser = argparse.ArgumentParser(prog='mmweather robustness')
        parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
        options = parser.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
    outcome = measure_robustness(args.config, args.checkpoint, args.out, args.weather, args.severities, args.metric,
                                 args.seed, args.source, options)
    print(outcome.table())
    print(f'{args.out}: robustness.csv, robustness.png')
    return 0
