"""Config of TogetherNet's head, and the initialisation that was published with it."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..ops.initialisation import init_published


def published_head(num_classes: int, in_channels: int, feat_channels: int, **options: Any) -> dict[str, Any]:
    """Config of mmdet's YOLOXHead with TogetherNet's losses, assignment and test settings.

    The names carry their scopes, so it builds under any default scope.

    Args:
        num_classes: number of classes.
        in_channels: channels of each level that enters.
        feat_channels: channels of the head's branches.
        **options: further arguments of the head; they override.
    """
    return {
        'type': 'mmdet.YOLOXHead',
        'num_classes': num_classes,
        'in_channels': in_channels,
        'feat_channels': feat_channels,
        'loss_cls': dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        'loss_bbox': dict(type='mmdet.IoULoss', mode='square', eps=1e-16, reduction='sum', loss_weight=5.0),
        'loss_obj': dict(type='mmweather.FocalObjectnessLoss'),
        'loss_l1': dict(type='mmdet.L1Loss', reduction='sum'),
        'train_cfg': dict(assigner=dict(type='mmdet.SimOTAAssigner', center_radius=2.5,
                                        iou_calculator=dict(type='mmdet.BboxOverlaps2D'))),
        'test_cfg': dict(score_thr=0.001, nms=dict(iou_threshold=0.65)),
        **options,
    }


def published_initialisation(network: nn.Module) -> None:
    """Draw weights as the published training does, in place.

    Convolutions, transposed ones included, from N(0, 0.02); batch norm weights from N(1, 0.02) with bias 0; everything
    else keeps PyTorch's initialisation.  A deformable convolution's predictor that is to start at zero stays there.
    """
    from .layers import ModulatedDeformConv
    skip = [m.conv_offset for m in network.modules() if isinstance(m, ModulatedDeformConv) and m.zero_offsets]
    init_published(network, skip=skip)
