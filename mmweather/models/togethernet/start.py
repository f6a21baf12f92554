"""Starting TogetherNet from a YOLOX that was trained on clear images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmweather.errors import CheckpointError, ConfigError
from mmweather.utils.checkpoint import load_checkpoint, load_into, same_shapes, unwrap_state_dict

from .state_dict_adapter import convert

#: mmdet's public YOLOX, trained on COCO, by the name of the architecture.
MMDET = {
    'tiny': 'yolox_tiny_8x8_300e_coco/yolox_tiny_8x8_300e_coco_20211124_171234-b4047906.pth',
    's': 'yolox_s_8x8_300e_coco/yolox_s_8x8_300e_coco_20211121_095711-4592a793.pth',
    'l': 'yolox_l_8x8_300e_coco/yolox_l_8x8_300e_coco_20211126_140236-d3bd2b23.pth',
    'x': 'yolox_x_8x8_300e_coco/yolox_x_8x8_300e_coco_20211126_140254-1ef88d67.pth',
}
_MMDET_ROOT = 'https://download.openmmlab.com/mmdetection/v2.0/yolox/'
_STEM = 'backbone.stem.conv'
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def fold_input(state: Mapping[str, Tensor], mean: Tensor, std: Tensor, swap: bool) -> dict[str, Tensor]:
    """Let a YOLOX's stem take a normalised image in place of values in [0, 255].

    The deviation and the order of the colours go into the stem's weights, the mean into its batch norm's running mean.
    That is exact but for the border, where the stem pads with zeros: with black before, with the mean colour after.

    Args:
        state: state dict in mmdet's layout.
        mean: (3, ) mean of the channels that the network is given, in [0, 255].
        std: (3, ) their deviation.
        swap: the colours come in the opposite order.

    Returns:
        The state dict with another stem; tensors are not changed in place.
    """
    weight = state[f'{_STEM}.conv.weight']
    # (out, pixel phase, colour, 3, 3)
    taps = weight.double().unflatten(1, (-1, 3))
    taps = taps.flip(2) if swap else taps
    shift = (taps * mean.double().view(3, 1, 1)).sum((1, 2, 3, 4))
    scaled = (taps * std.double().view(3, 1, 1)).flatten(1, 2)
    running = state[f'{_STEM}.bn.running_mean']
    return {**state, f'{_STEM}.conv.weight': scaled.to(weight),
            f'{_STEM}.bn.running_mean': (running.double() - shift).to(running)}


def _normalisation(model: nn.Module) -> tuple[Tensor, Tensor, bool]:
    """Mean, deviation and "swapped to RGB" of what the model's preprocessor does to mmdet's BGR images."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    swap = bool(getattr(preprocessor, '_channel_conversion', False))
    if mean is None or std is None:
        return torch.zeros(3), torch.ones(3), swap
    return *(value.detach().cpu().flatten().expand(3) for value in (mean, std)), swap


def mmdet_checkpoint(arch: Any) -> str:
    """Address of mmdet's public YOLOX of an architecture.

    Raises:
        ConfigError: mmdet has none.
    """
    if not isinstance(arch, str) or arch not in MMDET:
        raise ConfigError(f"model.start_from='mmdet': mmdet publishes YOLOX {', '.join(MMDET)}, none of "
                          f'model.arch={arch!r}; give a file, or None')
    return _MMDET_ROOT + MMDET[arch]


def keep_classes(state: Mapping[str, Tensor], numbers: Sequence[int], source: str) -> dict[str, Tensor]:
    """Cut a YOLOX head down to some of its classes.

    Args:
        state: state dict in mmdet's layout.
        numbers: of the classes to keep, in the order of the new head.
        source: for messages.

    Raises:
        CheckpointError: the head has fewer classes.
    """
    cut = {}
    for key, value in state.items():
        if '.multi_level_conv_cls.' in key:
            if max(numbers) >= len(value):
                raise CheckpointError(f"'{source}' (model.start_from) has {len(value)} classes, so model.start_classes "
                                      f'cannot name number {max(numbers)}; count from 0')
            value = value[list(numbers)]
        cut[key] = value
    return cut


def adapt(checkpoint: Mapping[str, Any], model: nn.Module, source: str, layout: str = 'auto') -> dict[str, Tensor]:
    """A published YOLOX or TogetherNet for our detector: its names, and its stem for our input.

    Args:
        checkpoint: as read from the file, in mmdet's or the published layout.
        model: the detector; its preprocessor says what the network is given.
        source: for messages.
        layout: what the checkpoint's network takes: ``'bgr255'`` (mmdet's and Megvii's YOLOX), ``'imagenet'``
            (published TogetherNet, bubbliiiing's YOLOX), or ``'auto'``: the second for published names that are not
            wrapped in ``model``, unless the checkpoint already is one of this project's.

    Raises:
        CheckpointError: there is no YOLOX stem in it.
    """
    state = unwrap_state_dict(checkpoint)
    published = any(key.startswith('backbone.backbone.') for key in state)
    ours = any(key.startswith('backbone.dtfe.') for key in state)
    if layout == 'auto':
        layout = 'imagenet' if ours or (published and 'model' not in checkpoint) else 'bgr255'
    state = convert(state) if published else dict(state)
    stem = state.get(f'{_STEM}.conv.weight')
    if stem is None or f'{_STEM}.bn.running_mean' not in state:
        raise CheckpointError(f"'{source}' (model.start_from) has no {_STEM}: it is no YOLOX and no TogetherNet")
    mean, std, swap = _normalisation(model)
    if layout == 'imagenet':
        # Relative to what the checkpoint's network was given: RGB with ImageNet's mean and deviation.
        theirs_mean, theirs_std = torch.tensor(_IMAGENET[0]), torch.tensor(_IMAGENET[1])
        if not swap:
            theirs_mean, theirs_std = theirs_mean.flip(0), theirs_std.flip(0)
        mean, std, swap = (mean - theirs_mean) / theirs_std, std / theirs_std, not swap
    identity = not swap and torch.allclose(mean, torch.zeros(3), atol=1e-6) and torch.allclose(std, torch.ones(3))
    return state if identity else fold_input(state, mean, std, swap)


def load_start(model: nn.Module, path: str, layout: str = 'auto',
               classes: Sequence[int] | None = None) -> dict[str, list[str]]:
    """Initialise a detector from a checkpoint as far as it fits, and log what was taken and what was not.

    Args:
        model: the detector.
        path: file or address.
        layout: see :func:`adapt`.
        classes: numbers of the checkpoint's classes that the model's classes are; None takes a head of the same
            number of classes as it is.

    Returns:
        Keys under ``taken``, ``fresh`` (the model's own that stay as initialised), ``other_shape`` and ``unused``.

    Raises:
        CheckpointError: unreadable, no YOLOX, or of another width.
    """
    state, own = adapt(load_checkpoint(path), model, path, layout), model.state_dict()
    state = state if classes is None else keep_classes(state, classes, path)
    fits = same_shapes(state, own)
    if f'{_STEM}.conv.weight' not in fits:
        theirs, mine = (len(each[f'{_STEM}.conv.weight']) for each in (state, own))
        raise CheckpointError(f"'{path}' (model.start_from) has a stem of {theirs} channels, this model one of {mine}: "
                              'give the checkpoint of the same width, or another model.arch')
    report = dict(taken=sorted(fits), fresh=sorted(own.keys() - state.keys()),
                  other_shape=sorted((own.keys() & state.keys()) - fits.keys()),
                  unused=sorted(state.keys() - own.keys()))
    load_into(model, {**own, **fits}, f"'{path}' (model.start_from)")
    print_log(f'{path}: {len(fits)} of {len(own)} entries are taken; other shape: {_grouped(report["other_shape"])}; '
              f'not in the checkpoint, freshly initialised: {_grouped(report["fresh"])}; not used: '
              f'{_grouped(report["unused"])}', 'current')
    return report


def _grouped(keys: list[str]) -> str:
    """Keys by module, two levels deep, with their number."""
    counts = Counter('.'.join(key.split('.')[:2]) for key in keys)
    return ', '.join(f'{name} ({count})' for name, count in counts.items()) or 'none'
