"""TogetherNet's backbone: mmdet's CSPDarknet with the feature enhancement on its last output."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import CSPDarknet
from torch import Tensor

from mmweather.registry import MODELS

from .dtfe import DynamicTransformerEnhancement


@MODELS.register_module()
class DTFEDarknet(CSPDarknet):
    """CSPDarknet (YOLOX) whose last stage is followed by :class:`DynamicTransformerEnhancement`.

    Args:
        *args: those of mmdet's ``CSPDarknet``; ``out_indices`` ends with the last stage.
        dtfe: arguments of :class:`DynamicTransformerEnhancement` other than ``channels``.
        **kwargs: those of mmdet's ``CSPDarknet``.

    Raises:
        ValueError: the last stage is not among the outputs.
    """

    def __init__(self, *args: Any, dtfe: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.out_indices[-1] != len(self.layers) - 1:
            raise ValueError(f'out_indices={tuple(self.out_indices)} must end with {len(self.layers) - 1}, the stage '
                             'that is enhanced')
        channels = getattr(self, self.layers[-1])[-1].final_conv.out_channels
        self.dtfe = DynamicTransformerEnhancement(channels, **(dtfe or {}))

    def init_weights(self) -> None:
        """Initialise as mmdet does; a deformable convolution's predictor that is to start at zero does so."""
        super().init_weights()
        self.dtfe.deform.reset_offsets()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), H and W multiples of 32, to features of the output stages, finest first."""
        *fine, coarse = super().forward(x)
        return (*fine, self.dtfe(coarse))
