"""`mmweather export MODEL`: an inference path as ONNX or `torch.export` file."""

from __future__ import annotations

import argparse

from mmweather.errors import ConfigError, DataError

HELP = "write a model's inference path as ONNX or torch.export file and check it"
EXAMPLE = """mmweather export nitedr --out nitedr.onnx
mmweather export togethernet_s_1xb16-100e_voc-fog --checkpoint best.pth --out togethernet.onnx
mmweather export my_config.py --checkpoint best.pth --out model.pt2 --size 512 640 --fixed"""
_TOLERANCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('model', help='name from `mmweather list`, or a config file')
    parser.add_argument('--checkpoint', help="weights; the shipped ones where left out, if the model has them")
    parser.add_argument('--out', required=True, metavar='FILE', help='.onnx, or .pt2 for torch.export')
    parser.add_argument('--size', nargs=2, type=int, metavar=('H', 'W'),
                        help='of the example that is traced, raised to what the model takes (256 320)')
    parser.add_argument('--fixed', action='store_true', help='for this size only (any size that fits otherwise)')
    parser.add_argument('--no-check', action='store_true', help='do not compare the file with PyTorch')


def run(args: argparse.Namespace) -> int:
    """Export and check."""
    from mmweather.apis.export import check_file, export_model
    from mmweather.apis.hub import get_model

    if args.size and min(args.size) < 1:
        raise ConfigError(f'--size {args.size[0]} {args.size[1]}: give positive numbers of pixels')
    model = get_model(args.model, args.checkpoint or 'shipped')
    height, width = args.size or (None, None)
    graph = export_model(model, args.out, height, width, not args.fixed, {'model': args.model})
    takes = ', '.join(f'{name} ({channels} channels)' for name, channels in graph.inputs.items())
    print(f'{args.out}: {graph.task}; takes {takes}; gives {", ".join(graph.outputs)}; height and width '
          + ('fixed' if args.fixed else f'multiples of {graph.multiple_of}, at least {graph.minimum}'))
    if not args.no_check:
        # Another size than the traced one, where that is allowed.
        other = (height, width) if args.fixed else ((height or 256) + 3 * graph.multiple_of, width)
        differences = check_file(graph, args.out, *other)
        print('largest difference from PyTorch, relative: '
              + ', '.join(f'{name} {value:.1e}' for name, value in differences.items()))
        if not max(differences.values()) <= _TOLERANCE:
            raise DataError(f'{args.out}: differs from PyTorch by more than {_TOLERANCE}; do not use it')
    return 0
