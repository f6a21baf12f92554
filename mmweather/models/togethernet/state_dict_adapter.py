"""Published TogetherNet state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError

from .layers import ModulatedDeformConv

StateDict = Mapping[str, Tensor]

# Tried in order on the whole key; later rules see what earlier ones left.
_RULES = [(re.compile(pattern), replacement) for pattern, replacement in (
    (r'^backbone\.backbone\.deconv\.', 'backbone.dtfe.deform.'),
    (r'^backbone\.backbone\.swt1\.', 'backbone.dtfe.csp.'),
    (r'^backbone\.backbone\.stem\.', 'backbone.stem.'),
    (r'^backbone\.backbone\.dark2\.', 'backbone.stage1.'),
    (r'^backbone\.backbone\.dark3\.', 'backbone.stage2.'),
    (r'^backbone\.backbone\.dark4\.', 'backbone.stage3.'),
    (r'^backbone\.backbone\.dark5\.', 'backbone.stage4.'),
    (r'^backbone\.lateral_conv0\.', 'neck.reduce_layers.0.'),
    (r'^backbone\.reduce_conv1\.', 'neck.reduce_layers.1.'),
    (r'^backbone\.C3_p4\.', 'neck.top_down_blocks.0.'),
    (r'^backbone\.C3_p3\.', 'neck.top_down_blocks.1.'),
    (r'^backbone\.bu_conv2\.', 'neck.downsamples.0.'),
    (r'^backbone\.bu_conv1\.', 'neck.downsamples.1.'),
    (r'^backbone\.C3_n3\.', 'neck.bottom_up_blocks.0.'),
    (r'^backbone\.C3_n4\.', 'neck.bottom_up_blocks.1.'),
    (r'^backbone\.sc1\.', 'neck.calibrated.0.'),
    (r'^backbone\.sc2\.', 'neck.calibrated.1.'),
    (r'^backbone\.sc3\.', 'neck.calibrated.2.'),
    (r'^backbone\.decoder\.', 'restoration_head.'),
    (r'^head\.stems\.', 'neck.out_convs.'),
    (r'^head\.(cls|reg)_convs\.', r'bbox_head.multi_level_\1_convs.'),
    (r'^head\.(cls|reg|obj)_preds\.', r'bbox_head.multi_level_conv_\1.'),
    # Inside CSP layers; stage4.1 is the pyramid pooling, whose convolutions keep their names.
    (r'^(backbone\.stage(?:[123]\.1|4\.2)|neck\.\w+_blocks\.\d)\.conv1\.', r'\1.main_conv.'),
    (r'^(backbone\.stage(?:[123]\.1|4\.2)|neck\.\w+_blocks\.\d)\.conv2\.', r'\1.short_conv.'),
    (r'^(backbone\.stage(?:[123]\.1|4\.2)|neck\.\w+_blocks\.\d)\.conv3\.', r'\1.final_conv.'),
    (r'^(backbone\.stage(?:[123]\.1|4\.2)|neck\.\w+_blocks\.\d)\.m\.', r'\1.blocks.'),
)]


def rename(key: str) -> str:
    """Our name of a published key; the deformable convolution's two predictors keep theirs, see :func:`convert`."""
    for pattern, replacement in _RULES:
        key = pattern.sub(replacement, key)
    return key


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


def convert(state: StateDict) -> dict[str, Tensor]:
    """A published state dict under our names, which are also those of an mmdet detector.

    Keys of a plain YOLOX in bubbliiiing's layout (published COCO weights) are renamed too.

    Raises:
        CheckpointError: the predictors of a deformable convolution do not fit each other.
    """
    return _join_predictors({rename(key): value for key, value in state.items()})


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


def _call_deform(network: nn.Module, img: Tensor) -> Tensor:
    return network(img)


#: Name of the published network -> (builder from the state dict, call with the published inputs and outputs).
NETWORKS = {
    'togethernet_s_nc5': (_build_network, published_outputs),
    'deform_small': (_build_deform, _call_deform),
}
