"""`mmweather restore INPUT`: clear images from a trained restorer."""

from __future__ import annotations

import argparse
from typing import Any

from ._inference import add_input_arguments, add_model_arguments, add_run_arguments, given_inputs, infer

HELP = 'restore images, videos and GeoTIFF scenes: files, folders or glob patterns'
EXAMPLE = """mmweather restore rainy/ --model nitedr_cleannet_2xb4-300k_roadscene-rain --checkpoint clean.pth --out dry
mmweather restore rainy/ --ir infrared/ --model nitedr_joint_roadscene-rain --checkpoint nitedr.pth --out fused
mmweather restore 'shots/*.jpg' --model my_config.py --checkpoint best.pth --out clear --tile 384 --compare
mmweather restore rain.mp4 --model nitedr_cleannet-s_1xb4-2k_roadscene-rain --checkpoint clean.pth --out dry
mmweather restore scene.tif --sar radar.tif --offset -1000 --model sentinel.py --checkpoint aca.pth --out clear.tif
mmweather restore scene.tif --sar radar.tif --model sentinel.py --out clear.tif --plan"""

_SCENE_OPTIONS = ('bands', 'nodata', 'scale', 'offset', 'vh_floor')


def _tile(text: str) -> int | str | None:
    if text in ('auto', 'none'):
        return None if text == 'none' else text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a number of pixels, auto or none, not '{text}'")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_model_arguments(parser, '<stem>.png, for scenes <stem>.tif; or the .tif for one scene')
    parser.add_argument('--tile', type=_tile, default='auto', metavar='N|auto|none',
                        help='side of tiles in pixels (auto: tiles where the image is large)')
    parser.add_argument('--overlap', type=int, metavar='N', help="overlap of tiles in pixels (the network's own)")
    add_run_arguments(parser, 'restore')
    scene = parser.add_argument_group('scenes', 'TIFFs with coordinates or more than 4 bands; needs rasterio')
    add_input_arguments(parser, 'restore', scene)
    scene.add_argument('--bands', metavar='B,B,B', help='bands to restore and write, as in 4,3,2 or B4,B3,B2 (all)')
    scene.add_argument('--nodata', type=float, metavar='X', help="number that means no data (the file's)")
    scene.add_argument('--scale', type=float, metavar='X',
                       help="number that is full brightness (the file's, 10000 for Sentinel-2, 255 for 8 bits)")
    scene.add_argument('--offset', type=float, metavar='X',
                       help='added before scaling: -1000 for Sentinel-2 of processing baseline 04.00 and later (0)')
    scene.add_argument('--vh-floor', type=float, metavar='DB',
                       help="dB of VH that counts as 0; -35 for ACA-CRNet's published weights (-32.5)")
    scene.add_argument('--plan', action='store_true', help='print windows, memory and disk of each scene and stop')


def run(args: argparse.Namespace) -> int:
    """Restore; 1 where a file failed."""
    scene_options = {name: value for name in _SCENE_OPTIONS if (value := getattr(args, name)) is not None}
    if args.plan:
        return _plan(args, scene_options)
    return infer(args, 'restore', tile=args.tile, overlap=args.overlap, scene_options=scene_options)


def _plan(args: argparse.Namespace, scene_options: dict[str, Any]) -> int:
    from mmweather.apis.hub import get_model
    from mmweather.apis.restore import pick_device
    from mmweather.apis.restore_files import find_images, plan_files
    from mmweather.apis.scenes.geotiff import plan_geotiff

    find_images(args.input, leave_out=args.out)  # before a network is built
    # Weights do not change the plan.
    model = get_model(args.model, args.checkpoint, pick_device(args.device))
    partners = given_inputs(args, 'restore')
    for job in plan_files(model, args.input, args.out, partners, scene_options):
        if job.is_scene and job.target is not None:
            radar = job.partner('sar') if 'sar' in partners else None
            print(plan_geotiff(model, job.file, job.target, tile=args.tile, overlap=args.overlap, sar=radar,
                               **scene_options))
        else:
            print(f"'{job.file}': a picture, restored into '{job.target}'")
    return 0
