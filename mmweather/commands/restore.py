"""`mmweather restore INPUT`: clear images from a trained restorer."""

from __future__ import annotations

import argparse
import sys

HELP = 'restore images, folders or glob patterns of images'
EXAMPLE = """mmweather restore rainy/ --model nitedr_cleannet_2xb4-300k_roadscene-rain --checkpoint clean.pth --out dry
mmweather restore rainy/ --ir infrared/ --model nitedr_joint_roadscene-rain --checkpoint nitedr.pth --out fused
mmweather restore 'shots/*.jpg' --model my_config.py --checkpoint best.pth --out clear --tile 384 --compare"""


def _tile(text: str) -> int | str | None:
    if text in ('auto', 'none'):
        return None if text == 'none' else text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a number of pixels, auto or none, not '{text}'")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('input', nargs='+', help='image, folder (with the folders in it) or glob pattern')
    parser.add_argument('--model', required=True, help='name from `mmweather list`, or a config file')
    parser.add_argument('--checkpoint', required=True, help='weights: ours, .pth or .safetensors')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results, <stem>.png each')
    parser.add_argument('--ir', metavar='DIR', help='infrared images of the same stems, for models that take them')
    parser.add_argument('--tile', type=_tile, default='auto', metavar='N|auto|none',
                        help='side of tiles in pixels (auto: tiles where the image is large)')
    parser.add_argument('--overlap', type=int, metavar='N', help="overlap of tiles in pixels (the network's own)")
    parser.add_argument('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32',
                        help='precision; fp16 on a GPU only (fp32)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, mps; the best there is by default')
    parser.add_argument('--overwrite', action='store_true', help='restore again what is there already')
    parser.add_argument('--compare', action='store_true', help='also write input and result side by side')


def run(args: argparse.Namespace) -> int:
    """Restore; 1 where a file failed."""
    from mmweather.apis.model_index import get_model
    from mmweather.apis.restore import find_images, pick_device, restore_files

    find_images(args.input, leave_out=args.out)  # before a network is loaded
    device = pick_device(args.device)
    model = get_model(args.model, args.checkpoint, device)
    report = restore_files(model, args.input, args.out, {'ir': args.ir} if args.ir else None, args.overwrite,
                           args.compare, tile=args.tile, overlap=args.overlap, dtype=args.dtype)
    print(f'{len(report.done)} restored, {len(report.skipped)} there already, {len(report.failed)} failed: {args.out}')
    for path, reason in report.failed.items():
        print(f'failed: {path}: {reason}', file=sys.stderr)
    return 1 if report.failed else 0
