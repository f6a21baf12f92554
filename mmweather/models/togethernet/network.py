"""The whole of TogetherNet as one network, parts and names as a detector of mmdet has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import YOLOXHead
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

from ..ops.initialisation import init_published
from .backbone import DTFEDarknet
from .neck import SelfCalibratedPAFPN
from .restoration import RestorationHead


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


@MODELS.register_module()
class TogetherNetwork(nn.Module):
    """TogetherNet's backbone, neck, head and restoration decoder (Wang et al., CGF 2022).

    Published in one width, YOLOX-s's; here every width of YOLOX works.

    Args:
        num_classes: number of classes.
        widen_factor: width; 0.375, 0.5, 0.75, 1.0, 1.25 are YOLOX-tiny, s, m, l, x.
        deepen_factor: depth; 0.33, 0.33, 0.67, 1.0, 1.33.
        dtfe: arguments of the feature enhancement, see
            :class:`~mmweather.models.togethernet.dtfe.DynamicTransformerEnhancement`.
        tanh: see :class:`~mmweather.models.togethernet.decoder.RestorationDecoder`.
    """

    inference_contract = InferenceContract(inputs=('img', ), multiple_of=32, minimum=32, tiling='approximate',
                                           overlap=128)

    def __init__(self, num_classes: int = 5, widen_factor: float = 0.5, deepen_factor: float = 1 / 3,
                 dtfe: dict | None = None, tanh: bool = True) -> None:
        super().__init__()
        widths = [int(width * widen_factor) for width in (256, 512, 1024)]
        self.backbone = DTFEDarknet(deepen_factor=deepen_factor, widen_factor=widen_factor, dtfe=dtfe)
        self.neck = SelfCalibratedPAFPN(widths, widths[0], num_csp_blocks=max(round(3 * deepen_factor), 1))
        self.bbox_head: YOLOXHead = MODELS.build(published_head(num_classes, widths[0], widths[0]))
        self.restoration_head = RestorationHead(widths, tanh=tanh)

    def forward(self, img: Tensor, restore: bool = True) -> tuple[list[Tensor], Tensor | None]:
        """Raw predictions and restored image.

        Args:
            img: foggy images (B, 3, H, W), RGB normalised with ImageNet's mean and deviation as published; H and W
                multiples of 32. (The published code needs 128 or more.)
            restore: also run the decoder, a quarter of the work.

        Returns:
            Raw maps (B, 5 + classes, H / s, W / s) for s = 8, 16, 32 with channels x, y, w, h, objectness, classes; and
            the restored image (B, 3, H, W) in the space of ``img``, or None.
        """
        features = self.backbone(img)
        maps = [torch.cat((box, objectness, classes), 1)
                for classes, box, objectness in zip(*self.bbox_head(self.neck(features)), strict=True)]
        return maps, self.restoration_head(features) if restore else None

    def detection_losses(self, maps: Sequence[Tensor], targets: Any) -> dict[str, Tensor]:
        """Losses of the head from raw maps.

        Args:
            maps: as returned by :meth:`forward`.
            targets: an mmengine ``InstanceData`` an image with ``bboxes`` (N, 4) as x1, y1, x2, y2 in input pixels and
                ``labels`` (N,).

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_obj``, weighted and divided by the number of positives.
        """
        boxes, objectness, classes = split_maps(maps)
        return self.bbox_head.loss_by_feat(classes, boxes, objectness, targets, [{}] * len(targets))


def split_maps(maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Raw maps (B, 5 + classes, H, W) as lists of box (4), objectness (1) and class maps, a view each."""
    parts = [x.split((4, 1, x.shape[1] - 5), 1) for x in maps]
    boxes, objectness, classes = (list(group) for group in zip(*parts, strict=True))
    return boxes, objectness, classes


def published_initialisation(network: nn.Module) -> None:
    """Draw weights as the published training does, in place.

    Convolutions, transposed ones included, from N(0, 0.02); batch norm weights from N(1, 0.02) with bias 0; everything
    else keeps PyTorch's initialisation.  A deformable convolution's predictor that is to start at zero stays there.
    """
    from .layers import ModulatedDeformConv
    init_published(network, skip=[m.conv_offset for m in network.modules()
                                  if isinstance(m, ModulatedDeformConv) and m.zero_offsets])
