"""`mmweather detect INPUT`: boxes from a trained detector."""

from __future__ import annotations

import argparse

from ._inference import add_input_arguments, add_model_arguments, add_run_arguments, infer

HELP = 'detect objects in images and videos: files, folders or glob patterns'
EXAMPLE = """mmweather detect foggy/ --model togethernet-n_1xb8-40e_street-fog --out found
mmweather detect 'shots/*.jpg' --model my_config.py --checkpoint best.pth --out found --score-thr 0.5 --compare
mmweather detect drive.mp4 --model togethernet_s_1xb16-100e_voc-fog --checkpoint togethernet.pth --out found"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_model_arguments(parser, '<stem>.json, <stem>.png with boxes, <stem>_restored.png if the model restores')
    add_input_arguments(parser, 'detect')
    parser.add_argument('--score-thr', type=_score, default=0.3, metavar='X',
                        help='least score of a box that is listed and drawn (0.3)')
    add_run_arguments(parser, 'detect')


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"give a number from 0 to 1, not '{text}'")
    return value


def run(args: argparse.Namespace) -> int:
    """Detect; 1 where an input failed."""
    return infer(args, 'detect', score_thr=args.score_thr)
