"""HeatNet's decoders as decode heads for mmseg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmweather.registry import MODELS

from ..ops.initialisation import init_published
from .losses import uncertainty_loss, uncertainty_target
from .pspnet import PyramidPooling, UpBlock


class _HeadAtImageSize(BaseDecodeHead):
    """A head whose logits have the size of the image, or nearly."""

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Losses of logits against ``gt_sem_seg``; the logits are resized only where their size is another."""
        label = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples])
        if seg_logits.shape[2:] != label.shape[2:]:
            seg_logits = resize(seg_logits, label.shape[2:], mode='bilinear', align_corners=self.align_corners)
        criteria = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        losses: dict[str, Tensor] = {}
        for criterion in criteria:
            value = criterion(seg_logits, label.squeeze(1), ignore_index=self.ignore_index)
            losses[criterion.loss_name] = losses.get(criterion.loss_name, 0) + value
        return losses


@MODELS.register_module()
class HeatNetPSPHead(_HeadAtImageSize):
    """Pyramid pooling and three doublings, so that a map of stride 8 gives logits at the size of the image.

    It differs from ``mmseg.PSPHead``: no norm and no activation in the pyramid, decoding in steps. Its last layer is
    ``conv_seg``, as in every head of mmseg.

    Args:
        in_channels: channels of the feature map.
        channels: channels after the pyramid.
        num_classes: channels of the logits.
        up_channels: channels after each doubling.
        dropout: share of channels dropped after the pyramid, and after each doubling.
        loss_decode: config of the loss; by default cross-entropy, mean over the pixels that are not ignored.
        **kwargs: of mmseg's ``BaseDecodeHead``, as ``in_index`` and ``ignore_index``.
    """

    def __init__(self, in_channels: int = 2048, channels: int = 1024, num_classes: int = 13,
                 up_channels: Sequence[int] = (256, 64, 64), dropout: tuple[float, float] = (0.3, 0.15),
                 loss_decode: dict | None = None, **kwargs: Any) -> None:
        loss_decode = loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
        super().__init__(in_channels, channels, num_classes=num_classes, dropout_ratio=0, loss_decode=loss_decode,
                         init_cfg=None, **kwargs)
        self.psp = PyramidPooling(in_channels, channels)
        widths = (channels, *up_channels)
        self.ups = len(up_channels)
        for i in range(self.ups):
            self.add_module(f'up_{i + 1}', UpBlock(widths[i], widths[i + 1]))
        self.drop_1, self.drop_2 = (nn.Dropout2d(share) for share in dropout)
        self.conv_seg = nn.Conv2d(widths[-1], self.out_channels, 1)

    def init_weights(self) -> None:
        """The published initialisation."""
        init_published(self)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features, shallow ones first, to logits; of stride 8, (B, classes, 8 h, 8 w)."""
        x = self.drop_1(self.psp(self._transform_inputs(inputs)))
        for i in range(self.ups):
            x = self.drop_2(getattr(self, f'up_{i + 1}')(x))
        return self.conv_seg(x)


@MODELS.register_module()
class HeatNetLogitsHead(_HeadAtImageSize):
    """Takes the logits out of the maps of ``mmweather.HeatNetResNeXtBackbone``, and trains its certainty branch.

    It has no weights; ``conv_seg`` is an identity, by whose name the logits are found as in every head of mmseg.

    Args:
        num_classes: channels of the logits.
        in_index: of the logits among the backbone's maps.
        certainty_index: of the map of the certainty branch; None where there is none.
        published_certainty_loss: compare the certainty map of each image with the targets of all images of the batch.
        loss_decode: as in :class:`HeatNetPSPHead`.
        **kwargs: of mmseg's ``BaseDecodeHead``.
    """

    def __init__(self, num_classes: int = 13, in_index: int = 5, certainty_index: int | None = None,
                 published_certainty_loss: bool = False, loss_decode: dict | None = None, **kwargs: Any) -> None:
        loss_decode = loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
        super().__init__(num_classes, num_classes, num_classes=num_classes, in_index=in_index, dropout_ratio=0,
                         loss_decode=loss_decode, init_cfg=None, **kwargs)
        self.conv_seg = nn.Identity()
        self.certainty_index = certainty_index
        self.published_certainty_loss = published_certainty_loss

    def init_weights(self) -> None:
        """There are none."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The backbone's maps to the logits among them."""
        return self.conv_seg(self._transform_inputs(inputs))

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: Sequence[Any], train_cfg: Any) -> dict[str, Tensor]:
        """Losses of the logits; ``loss_certainty`` of the certainty branch against one minus the label's probability.

        Pixels that are ignored count in neither.
        """
        logits = self(inputs)
        losses = self.loss_by_feat(logits, batch_data_samples)
        if self.certainty_index is not None:
            label = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples])[:, 0]
            uncertain = inputs[self.certainty_index]
            if label.shape[1:] != logits.shape[2:]:
                logits, uncertain = (resize(x, label.shape[1:], mode='bilinear', align_corners=self.align_corners)
                                     for x in (logits, uncertain))
            known = label != self.ignore_index
            target = uncertainty_target(logits, label.where(known, 0))
            losses['loss_certainty'] = uncertainty_loss(uncertain, target, self.published_certainty_loss, known)
        return losses
