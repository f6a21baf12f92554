"""ACA-CRNet's loss."""

from __future__ import annotations

from torch import Tensor, nn

from mmweather.registry import MODELS


@MODELS.register_module()
class CloudAdaptiveLoss(nn.Module):
    """Cloud-adaptive regularised L1 loss (CARL; Meraner et al., DSen2-CR, 2020).

    Clear pixels should stay as they are in the cloudy image, clouded ones become those of the target, and the whole
    image is pulled to the target::

        mean((1 - m) |p - x| + m |p - t|) + target_weight * mean |p - t|

    The code published with ACA-CRNet hands the prediction over as the cloudy image x, so its clear-sky term is zero.

    Args:
        target_weight: factor of the last term.
        loss_weight: factor of the sum.
        published: leave the clear-sky term out, as the published code does.
    """

    def __init__(self, target_weight: float = 1.0, loss_weight: float = 1.0, published: bool = False) -> None:
        super().__init__()
        self.target_weight = target_weight
        self.loss_weight = loss_weight
        self.published = published

    def forward(self, pred: Tensor, target: Tensor, cloudy: Tensor | None, mask: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, C, H, W).
            target: the clear image, as ``pred``.
            cloudy: the optical bands of the input, as ``pred``; not used if ``published``.
            mask: 1 in cloud and shadow, 0 in clear sky, (B, 1 or C, H, W).

        Returns:
            A scalar.
        """
        error = (pred - target).abs()
        adaptive = mask * error
        if not self.published:
            if cloudy is None:
                raise ValueError('CloudAdaptiveLoss compares clear pixels with the cloudy image: give cloudy, or '
                                 'published=True')
            adaptive = adaptive + (1 - mask) * (pred - cloudy).abs()
        return self.loss_weight * (adaptive.mean() + self.target_weight * error.mean())
