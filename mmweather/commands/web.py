"""`mmweather web`: a page in the browser."""

from __future__ import annotations

import argparse

HELP = 'show a web page: choose a model and a picture, compare before and after'
EXAMPLE = """mmweather web
mmweather web --model nitedr --port 8000
mmweather web --model my_config.py --checkpoint best.pth --device cuda"""


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f"give a number above 0, not '{text}'")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--model', action='append', default=[], metavar='NAME',
                        help='name from `mmweather list` or a config file; may be repeated (all with shipped weights)')
    parser.add_argument('--checkpoint', action='append', default=[], metavar='FILE',
                        help="weights, one for each --model (those that come with the package)")
    parser.add_argument('--host', default='127.0.0.1',
                        help='address to listen at (127.0.0.1: this machine alone; 0.0.0.0: every machine)')
    parser.add_argument('--port', type=int, default=7860, help='0 takes a free one (7860)')
    parser.add_argument('--allowed-host', action='append', default=[], metavar='NAME',
                        help='name at which a proxy shows the page; may be repeated, others are refused')
    parser.add_argument('--root-path', default='', metavar='PATH',
                        help='path at which a proxy shows the page, such as /weather')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, mps; the best there is by default')
    parser.add_argument('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32',
                        help='precision; fp16 on a GPU only (fp32)')
    parser.add_argument('--max-mb', type=_positive, default=50, metavar='N', help='largest upload in megabytes (50)')
    parser.add_argument('--max-mp', type=_positive, default=40, metavar='N', help='largest picture in megapixels (40)')
    parser.add_argument('--open', action='store_true', help='open the page in the default browser')


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, which :func:`mmweather.cli.main` reports."""
    from ..web.choices import choices_from
    from ..web.engine import Engine, Limits
    from ..web.server import serve

    engine = Engine(choices_from(args.model, args.checkpoint), args.device, args.dtype,
                    Limits(args.max_mb, args.max_mp))
    serve(engine, args.host, args.port, args.open, args.allowed_host, args.root_path)
    return 0
