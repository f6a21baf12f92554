"""What `restore`, `detect` and `segment` have in common."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mmweather.errors import ConfigError
from mmweather.inputs import Input
from mmweather.methods import inputs

from ._pixels import add_pixel_argument, with_pixel_limit

_DONE = {'restore': 'restored', 'detect': 'done', 'segment': 'done'}


def add_model_arguments(parser: argparse.ArgumentParser, results: str) -> None:
    """Add the arguments that say with what, from where to where.

    Args:
        parser: of the command.
        results: what is written, for the help.
    """
    parser.add_argument('input', nargs='+',
                        help='image, video, folder (with the folders in it), glob pattern, or camera:0')
    parser.add_argument('--model', required=True, help='alias or name from `mmweather list`, or a config file')
    parser.add_argument('--checkpoint', metavar='FILE',
                        help='weights: .pth or .safetensors (those in the package: mmweather list --weights)')
    parser.add_argument('--out', required=True, metavar='DIR', help=f'folder for the results: {results}')


def add_input_arguments(parser: argparse.ArgumentParser, task: str, scenes: Any = None) -> None:
    """Add an option for every further input of the methods with a task, plug-ins included.

    Args:
        parser: of the command.
        task: of :data:`mmweather.methods.TASKS`.
        scenes: group for the inputs that belong to scenes; None where there are none.
    """
    for name, item in _further(task).items():
        group = scenes if scenes is not None and item.mode == 'bands' else parser
        group.add_argument(f'--{name}', metavar='DIR',
                           help=f'{item.help}; a folder with the same stems, or a file for one image')


def given_inputs(args: argparse.Namespace, task: str) -> dict[str, str]:
    """Return the folders or files that were given for the options of :func:`add_input_arguments`."""
    return {name: value for name in _further(task) if (value := getattr(args, name)) is not None}


def _further(task: str) -> dict[str, Input]:
    _, *others = inputs(task).items()
    return dict(others)


def add_run_arguments(parser: argparse.ArgumentParser, again: str) -> None:
    """Add the arguments that say how; ``again`` is the verb of the command."""
    parser.add_argument('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32',
                        help='precision; fp16 on a GPU only (fp32)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, mps; the best there is by default')
    parser.add_argument('--batch-size', type=_count, default=1, metavar='N',
                        help='images of one size in a row that go through the network together (1)')
    parser.add_argument('--max-frames', type=_count, metavar='N', help='stop a video or a camera after N frames')
    parser.add_argument('--overwrite', action='store_true', help=f'{again} again what is there already')
    add_pixel_argument(parser)
    parser.add_argument('--compare', action='store_true', help='also write picture and result side by side')


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a number of at least 1, not '{text}'")
    return int(text)


def _left_in_folders(inputs: list[str]) -> Counter[str]:
    """Endings of pictures that Pillow reads and a search in folders passes by, such as GIF."""
    from PIL import Image

    from mmweather.apis.inference.sources import is_picture_or_video

    kinds = Image.registered_extensions()
    return Counter(file.suffix.lower() for folder in map(Path, inputs) if folder.is_dir() for file in folder.rglob('*')
                   if kinds.get(file.suffix.lower()) in Image.OPEN and not is_picture_or_video(file)
                   and not file.name.startswith('.') and file.is_file())


def infer(args: argparse.Namespace, task: str, **options: Any) -> int:
    """Run a model on the inputs within ``--max-pixels``; see :func:`_infer`."""
    return with_pixel_limit(lambda given: _infer(given, task, **options))(args)


def _infer(args: argparse.Namespace, task: str, **options: Any) -> int:
    """Do it and tell; 1 where an input failed.

    Args:
        args: parsed arguments of the command.
        task: what the model must do.
        options: of :meth:`mmweather.Inferencer.stream`, beside the inputs and those of :func:`add_run_arguments`.
    """
    from mmweather.apis.inference.sources import camera_index, is_picture_or_video
    from mmweather.apis.inferencer import Inferencer
    from mmweather.apis.restore_files import find_images
    from mmweather.utils.text import printable

    inputs: Any = args.input[0] if len(args.input) == 1 else args.input
    if camera_index(inputs) is None:
        find_images(inputs, leave_out=args.out, accept=is_picture_or_video)  # before a network is loaded
    inferencer = Inferencer(args.model, args.checkpoint, args.device)
    if inferencer.task != task:
        raise ConfigError(f"--model {args.model}: {type(inferencer.model).__name__} cannot {task}; use "
                          f'`mmweather {inferencer.task}`')
    report = inferencer(inputs, args.out, dtype=args.dtype, batch_size=args.batch_size, compare=args.compare,
                        overwrite=args.overwrite, max_frames=args.max_frames, keep=False,
                        **given_inputs(args, task), **options)
    print(f'{len(report.done)} {_DONE[task]}, {len(report.skipped)} there already, {len(report.failed)} failed: '
          f'{args.out}')
    for kind, note in report.notes.items():
        other = ' (another range: --thermal-range LOW HIGH)' if kind == 'thermal' else ''
        print(printable(f'note: {note}{other}'))
    if report.unrecorded:
        print(f'note: {len(report.unrecorded)} of those there already have no record of the model that made them; '
              '--overwrite makes them again')
    for ending, count in sorted(_left_in_folders(args.input).items()):
        print(f"note: {count} files ending in '{ending}' were left out of the folders; convert them to PNG")
    for label, reason in report.failed.items():
        print(printable(f'failed: {label}: {reason}'), file=sys.stderr)
    return 1 if report.failed else 0
