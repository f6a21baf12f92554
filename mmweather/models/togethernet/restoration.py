"""The restoration decoder with its loss, as detectors hold it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mmweather.errors import DataError
from mmweather.registry import MODELS

from .decoder import RestorationDecoder


@MODELS.register_module()
class RestorationHead(RestorationDecoder):
    """:class:`~mmweather.models.togethernet.decoder.RestorationDecoder` with the mean squared error to clear images.

    Args:
        in_channels: see the decoder.
        out_channels: see the decoder.
        tanh: see the decoder.
        loss_weight: factor of the loss, 0.8 as published.
        skip: see the decoder.
    """

    def __init__(self, in_channels: Sequence[int] = (128, 256, 512), out_channels: int = 3, tanh: bool = True,
                 loss_weight: float = 0.8, skip: bool = False) -> None:
        super().__init__(in_channels, out_channels, tanh, skip)
        self.loss_weight = loss_weight

    def loss(self, features: Sequence[Tensor], clear: Sequence[Tensor | None],
             foggy: Tensor | None = None) -> dict[str, Tensor]:
        """Mean squared error over the samples that have a clear image, of all processes together.

        Where no process has one, the decoder does not run; the loss is zero then and still reaches its parameters, as
        data-parallel training demands.

        Args:
            features: (B, C_i, H / s, W / s) for s = 8, 16, 32, finest first.
            clear: B clear images in the space of the network's input, (3, H, W) each, or None.
            foggy: see the decoder.

        Returns:
            ``loss_restoration``, weighted.

        Raises:
            DataError: a clear image has another size than the input.
        """
        rows = [i for i, image in enumerate(clear) if image is not None]
        count = torch.tensor([float(len(rows))], device=features[0].device)
        all_reduce(count)
        if not count.item():
            return {'loss_restoration': 0 * sum(p.float().sum() for p in self.parameters())}
        restored = self(features, foggy).float()
        errors = [restored.sum() * 0]
        for i in rows:
            target = clear[i].to(restored)
            if target.shape != restored.shape[1:]:
                raise DataError(f'clean_img of sample {i} is {tuple(target.shape)}, the padded input '
                                f'{tuple(restored.shape[1:])}: let one transform move both (mmweather.PairedDet'
                                'Preprocessor pads them alike)')
            errors.append((restored[i] - target).square().mean())
        return {'loss_restoration': self.loss_weight * sum(errors) * get_world_size() / count[0]}
