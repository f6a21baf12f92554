"""Published TogetherNet state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter

from .layers import ModulatedDeformConv

StateDict = Mapping[str, Tensor]

# Published prefix -> ours.
_PREFIXES = {
    'backbone.backbone.deconv.': 'backbone.dtfe.deform.',
    'backbone.backbone.swt1.': 'backbone.dtfe.csp.',
    'backbone.backbone.stem.': 'backbone.stem.',
    **{f'backbone.backbone.dark{i + 1}.': f'backbone.stage{i}.' for i in (1, 2, 3, 4)},
    'backbone.lateral_conv0.': 'neck.reduce_layers.0.',
    'backbone.reduce_conv1.': 'neck.reduce_layers.1.',
    'backbone.C3_p4.': 'neck.top_down_blocks.0.',
    'backbone.C3_p3.': 'neck.top_down_blocks.1.',
    'backbone.bu_conv2.': 'neck.downsamples.0.',
    'backbone.bu_conv1.': 'neck.downsamples.1.',
    'backbone.C3_n3.': 'neck.bottom_up_blocks.0.',
    'backbone.C3_n4.': 'neck.bottom_up_blocks.1.',
    **{f'backbone.sc{i + 1}.': f'neck.calibrated.{i}.' for i in (0, 1, 2)},
    'backbone.decoder.': 'restoration_head.',
    'head.stems.': 'neck.out_convs.',
    **{f'head.{kind}_convs.': f'bbox_head.multi_level_{kind}_convs.' for kind in ('cls', 'reg')},
    **{f'head.{kind}_preds.': f'bbox_head.multi_level_conv_{kind}.' for kind in ('cls', 'reg', 'obj')},
}
# Inside CSP layers; stage4.1 is the pyramid pooling, whose convolutions keep their names.
_CSP = re.compile(r'^(backbone\.stage(?:[123]\.1|4\.2)|neck\.\w+_blocks\.\d)\.(\w+)\.')
_CSP_PARTS = {'conv1': 'main_conv', 'conv2': 'short_conv', 'conv3': 'final_conv', 'm': 'blocks'}


def _swap(key: str, prefixes: Mapping[str, str]) -> str:
    old = next((prefix for prefix in prefixes if key.startswith(prefix)), '')
    return prefixes.get(old, '') + key.removeprefix(old)


def _swap_part(key: str, parts: Mapping[str, str]) -> str:
    return _CSP.sub(lambda match: f'{match[1]}.{parts.get(match[2], match[2])}.', key)


def rename(key: str) -> str:
    """Our name of a published key; the deformable convolution's two predictors keep theirs, see :func:`convert`."""
    return _swap_part(_swap(key, _PREFIXES), _CSP_PARTS)


def published_name(key: str) -> str:
    """Return the published name of our key, the reverse of :func:`rename`."""
    parts = {ours: published for published, ours in _CSP_PARTS.items()}
    return _swap(_swap_part(key, parts), {ours: published for published, ours in _PREFIXES.items()})


def predictor_rows(taps: int) -> list[int]:
    """Rows of the published offset predictor (all y, then all x) in our order (y0, x0, y1, x1, ...)."""
    return [row for tap in range(taps) for row in (tap, taps + tap)]


def _join_predictors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make one predictor of the published two, of offsets (``p_conv``) and mask (``m_conv``)."""
    result = {}
    for key, value in state.items():
        if '.m_conv.' in f'.{key}' and key.replace('m_conv.', 'p_conv.') in state:
            continue
        partner = state.get(key.replace('p_conv.', 'm_conv.')) if '.p_conv.' in f'.{key}' else None
        if partner is None:
            result[key] = value
            continue
        if len(value) != 2 * len(partner) or value.shape[1:] != partner.shape[1:]:
            raise CheckpointError(f"'{key}' {tuple(value.shape)} and its mask predictor {tuple(partner.shape)} do not "
                                  'belong to one deformable convolution: the checkpoint is broken')
        result[key.replace('p_conv.', 'conv_offset.')] = torch.cat((value[predictor_rows(len(partner))], partner))
    return result


def _split_predictors(state: StateDict) -> dict[str, Tensor]:
    """Make the published two predictors of our one, the reverse of :func:`_join_predictors`."""
    result = {}
    for key, value in state.items():
        if '.conv_offset.' not in f'.{key}':
            result[key] = value
            continue
        taps = len(value) // 3
        rows = predictor_rows(taps)
        result[key.replace('conv_offset.', 'p_conv.')] = value[[rows.index(row) for row in range(2 * taps)]]
        result[key.replace('conv_offset.', 'm_conv.')] = value[2 * taps:]
    return result


def convert(state: StateDict) -> dict[str, Tensor]:
    """A published state dict under our names, which are also those of an mmdet detector.

    Keys of a plain YOLOX in bubbliiiing's layout (published COCO weights) are renamed too.

    Raises:
        CheckpointError: the predictors of a deformable convolution do not fit each other.
    """
    return _join_predictors({rename(key): value for key, value in state.items()})


def to_published(state: StateDict) -> dict[str, Tensor]:
    """Return a state dict of ours under the published names, the reverse of :func:`convert`."""
    return _split_predictors({published_name(key): value for key, value in state.items()})


def network_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`~mmweather.models.togethernet.detector.TogetherNet` from published shapes.

    Raises:
        CheckpointError: keys that every TogetherNet has are missing.
    """
    prefix = 'backbone.backbone.dark2.1.m.'
    try:
        depth = len({key[len(prefix):].split('.')[0] for key in state if key.startswith(prefix)}) / 3
        width = state['backbone.backbone.stem.conv.conv.weight'].shape[0] / 64
        return dict(num_classes=state['head.cls_preds.0.weight'].shape[0], arch=(depth, width))
    except KeyError as error:
        raise CheckpointError(f'the state dict has no key {error}: not a TogetherNet checkpoint') from None


def _build_network(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    from mmweather.registry import MODELS
    # By name, so that a missing mmdet is reported in one line.
    network = MODELS.build({'type': 'mmweather.TogetherNet', **network_options(state), **options})
    return network, convert(state)


def _build_deform(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    state = {key.removeprefix('deform.'): value for key, value in state.items()}
    if 'conv.weight' not in state:
        raise CheckpointError("the state dict has no key 'deform.conv.weight': not a deformable convolution")
    out_channels, in_channels, kernel_size, _ = state['conv.weight'].shape
    return ModulatedDeformConv(in_channels, out_channels, kernel_size, **options), _join_predictors(state)


def _publish_deform(state: StateDict) -> dict[str, Tensor]:
    return {f'deform.{key}': value for key, value in _split_predictors(state).items()}


def published_outputs(detector: nn.Module, img: Tensor) -> tuple[list[Tensor], Tensor]:
    """Outputs of the published network.

    Args:
        detector: :class:`~mmweather.models.togethernet.detector.TogetherNet`.
        img: foggy images (B, 3, H, W), RGB normalised with ImageNet's mean and deviation; H and W multiples of 32. (The
            published code needs 128 or more.)

    Returns:
        Raw maps (B, 5 + classes, H / s, W / s) for s = 8, 16, 32 with channels x, y, w, h, objectness, classes; and the
        restored image (B, 3, H, W) in the space of ``img``.
    """
    network: Any = detector
    features = network.backbone(img)
    maps = [torch.cat((box, objectness, classes), 1)
            for classes, box, objectness in zip(*network.bbox_head(network.neck(features)), strict=True)]
    return maps, network.restoration_head(features)


#: Name of the published network -> how it becomes ours and back.
NETWORKS = {
    'togethernet_s_nc5': Adapter(_build_network, to_published, published_outputs),
    'deform_small': Adapter(_build_deform, _publish_deform),
}
