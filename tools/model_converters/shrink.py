"""Make a small file of a checkpoint, for the folder `weights` or for passing on.

    python tools/model_converters/shrink.py CONFIG CHECKPOINT weights/NAME.safetensors --half \\
        --seed 0 --data 'RICE1, 56 pairs' --scores 'PSNR 28.61, SSIM 0.9404 (16 test images)'

The weights of the model alone are written: no optimizer, no log. With --half, matrices and kernels are stored in half
precision; vectors (biases, statistics of norms) and what half precision cannot hold stay as they are. The checkpoint
must fit the config.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmweather.errors import CheckpointError, ConfigError, one_line_errors

#: Largest relative error of half precision for numbers in its normal range is 2^-11.
_TOLERANCE = 2**-10


def halved(state: Mapping[str, Any]) -> dict[str, Any]:
    """Float32 tensors of two and more dimensions in half precision, where that changes them by rounding alone."""
    import torch

    small = {}
    for key, value in state.items():
        small[key] = value
        if value.dtype == torch.float32 and value.ndim >= 2:
            half = value.half()
            # Against the largest value: what is tiny beside it may vanish.
            if not value.numel() or (half.float() - value).abs().max() <= _TOLERANCE * value.abs().max():
                small[key] = half
    return small


def shrink(config: str, checkpoint: str, out: str, half: bool = False, leave_out: Sequence[str] = (),
           facts: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Write the small file.

    Args:
        config: of the model.
        checkpoint: that fits it.
        out: file to write, ending in ``.safetensors``.
        half: store matrices and kernels in half precision.
        leave_out: children of the model that only training needs.
        facts: what to note in the head of the file.

    Returns:
        Number of tensors, and bytes of the file.

    Raises:
        CheckpointError: the checkpoint does not fit, or holds values that are not finite.
        ConfigError: the model has no such child, or the ending is another.
    """
    import torch

    from mmweather.apis.hub import get_model
    from mmweather.utils.checkpoint import save_state_dict, training_parts

    if Path(out).suffix != '.safetensors':
        raise ConfigError(f"'{out}': name the result *.safetensors")
    if Path(out).resolve() == Path(checkpoint).resolve():
        raise ConfigError(f"'{out}' is the checkpoint itself; choose another name")
    model = get_model(config, checkpoint)
    children = [name for name, _ in model.named_children()]
    strangers = [part for part in leave_out if part not in children]
    if strangers:
        raise ConfigError(f"the model has no part '{strangers[0]}' to leave out; it has {', '.join(children)}")
    prefixes = training_parts(model, list(leave_out), '--leave-out')
    state = {key: value for key, value in model.state_dict().items() if not (prefixes and key.startswith(prefixes))}
    if not state:
        raise ConfigError('nothing would be left; leave less out')
    bad = [key for key, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{checkpoint}: '{bad[0]}' holds values that are not finite; take an earlier checkpoint")
    written = halved(state) if half else state
    notes = dict(config=Path(config).name, precision='half' if half else 'single', **(facts or {}))
    if leave_out:
        notes['left_out'] = list(leave_out)
    save_state_dict(out, written, {key: value for key, value in notes.items() if value is not None})
    return len(written), Path(out).stat().st_size


def main(argv: Sequence[str] | None = None) -> None:
    """Read, shrink, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name from `mmweather list`')
    parser.add_argument('checkpoint', help='.pth or .safetensors')
    parser.add_argument('out', help='file to write: .safetensors')
    parser.add_argument('--half', action='store_true', help='store matrices and kernels in half precision')
    parser.add_argument('--leave-out', nargs='+', default=[], metavar='PART',
                        help='children of the model that only training needs, such as critics')
    parser.add_argument('--seed', help='of the training')
    parser.add_argument('--data', help='what it was trained on')
    parser.add_argument('--scores', help='what it reached, and on what')
    parser.add_argument('--source', help='weights it was started from, with their licence')
    parser.add_argument('--commit', help='of this repository, with which it was trained')
    parser.add_argument('--purpose', help='what it is for')
    args = parser.parse_args(argv)
    with one_line_errors():
        count, size = shrink(args.config, args.checkpoint, args.out, args.half, args.leave_out,
                             dict(seed=args.seed, data=args.data, scores=args.scores, source=args.source,
                                  commit=args.commit, purpose=args.purpose))
        print(f'wrote {args.out}: {count} tensors, {size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
