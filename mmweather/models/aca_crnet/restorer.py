"""ACA-CRNet as a mmagic restorer: the value ranges of its published networks, and its losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mmweather.errors import ConfigError
from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.tiling import run_tiled
from mmweather.models.preprocessors.image_set import stack_masks, stack_targets
from mmweather.models.restorers.restorer import Restorer
from mmweather.registry import MODELS

#: Reflectance 1 (10 000 digital numbers) and 0 dB in the units of the networks for Sentinel.
OPTICAL_SCALE = 5.0
RADAR_SCALE = 2.0


@MODELS.register_module()
class CloudRemover(Restorer):
    """A cloud-removal network between images in [0, 1].

    Published weights alone give no image: the scripts around them scale the input and take the tanh of the output.
    With ``value_range='rice'`` the network sees RGB in [-1, 1] and the image is (tanh(output) + 1) / 2; with
    ``'sentinel'`` it sees Sentinel-2 bands times 5 beside Sentinel-1 times 2, and the image is the output over 5.
    The losses are taken in the units of the network, as published.

    Args:
        generator: config of the network, for example ``mmweather.ACACRNet``; it takes one tensor, (B, C, H, W).
        pixel_loss: config of the loss between output and target, or None.
        cloud_loss: config of a loss that also takes the cloudy image and the mask of the data samples
            (:class:`~mmweather.models.aca_crnet.losses.CloudAdaptiveLoss`), or None.
        value_range: ``'rice'`` or ``'sentinel'``.
        inputs: images by name; ``('img', )``, and with ``'sentinel'`` by default ``('img', 'sar')``.
        sar_first: radar channels stand in front of the optical ones (ACA-CRNet), else behind them (DSen2-CR).
        eight_bit: as in :class:`~mmweather.models.restorers.restorer.Restorer`; off, as in the published scripts.
        **kwargs: of :class:`~mmweather.models.restorers.restorer.Restorer`.

    Raises:
        ConfigError: arguments do not fit together.
    """

    training_only = ('pixel_loss', 'cloud_loss')

    def __init__(
        self,
        generator: dict,
        pixel_loss: dict | None = None,
        cloud_loss: dict | None = None,
        value_range: Literal['rice', 'sentinel'] = 'rice',
        inputs: Sequence[str] | None = None,
        sar_first: bool = True,
        eight_bit: bool = False,
        **kwargs: Any,
    ) -> None:
        if value_range not in ('rice', 'sentinel'):
            raise ConfigError(f"CloudRemover: value_range must be 'rice' or 'sentinel', got {value_range!r}")
        if inputs is None:
            inputs = ('img', 'sar') if value_range == 'sentinel' else ('img', )
        known = (('img', ), ('img', 'sar')) if value_range == 'sentinel' else (('img', ), )
        if tuple(inputs) not in known:
            raise ConfigError(f"CloudRemover: inputs={tuple(inputs)} with value_range='{value_range}'; give "
                              f"{' or '.join(map(str, known))}")
        super().__init__(generator, pixel_loss, eight_bit=eight_bit, **kwargs)
        self.cloud_loss = None if cloud_loss is None else MODELS.build(cloud_loss)
        self.value_range = value_range
        self.inputs = tuple(inputs)
        self.sar_first = sar_first
        skip = getattr(self.generator, 'skip_from', None)
        wanted = 2 if 'sar' in self.inputs and sar_first else 0
        if skip not in (None, wanted):
            raise ConfigError(f'CloudRemover: the network adds its input from channel {skip} on, the optical bands '
                              f'begin at {wanted}: set generator.skip_from={wanted}, or mend inputs and sar_first')

    @property
    def inference_contract(self) -> InferenceContract:
        """The network's contract, with the inputs of this restorer."""
        return dataclasses.replace(super().inference_contract, inputs=self.inputs)

    # Values -----------------------------------------------------------------------------------------------------

    def to_network(self, image: Tensor) -> Tensor:
        """Optical bands in [0, 1] in the units of the network."""
        return image * OPTICAL_SCALE if self.value_range == 'sentinel' else image * 2 - 1

    def from_network(self, output: Tensor) -> Tensor:
        """The other way round, not clamped."""
        return output / OPTICAL_SCALE if self.value_range == 'sentinel' else (output + 1) / 2

    def run_network(self, img: Tensor, sar: Tensor | None = None) -> Tensor:
        """The network between its own units.

        Args:
            img: (B, C, H, W) in [0, 1].
            sar: (B, 2, H, W) in [0, 1], or None.

        Returns:
            (B, C, H, W): in (-1, 1) for RICE, about [0, 5] for Sentinel.
        """
        image = self.to_network(img)
        if sar is not None:
            radar = sar * RADAR_SCALE
            image = torch.cat((radar, image) if self.sar_first else (image, radar), 1)
        output = self.generator(image)
        return output.tanh() if self.value_range == 'rice' else output

    def _image(self, *images: Tensor) -> Tensor:
        return self.from_network(self.run_network(*images))

    # Modes ------------------------------------------------------------------------------------------------------

    def forward_tensor(self, inputs: dict[str, Tensor] | Tensor, data_samples: Any = None, **kwargs: Any) -> Tensor:
        """The image in about [0, 1], not clamped; sizes must fit the contract."""
        return self._image(*self.select(inputs))

    def forward_train(self, inputs: dict[str, Tensor] | Tensor, data_samples: Any, **kwargs: Any) -> dict[str, Tensor]:
        """``loss_pixel`` and ``loss_cloud`` against ``gt_img`` of the data samples, as far as they are configured.

        Raises:
            DataError: a data sample lacks ``gt_img``, or ``mask`` where there is a ``cloud_loss``.
        """
        images = self.select(inputs)
        output = self.run_network(*images)
        target = self.to_network(stack_targets(data_samples).to(output.device))
        losses = {}
        if self.pixel_loss is not None:
            losses['loss_pixel'] = self.pixel_loss(output, target)
        if self.cloud_loss is not None:
            mask = stack_masks(data_samples).to(output.device)
            losses['loss_cloud'] = self.cloud_loss(output, target, self.to_network(images[0]), mask)
        if not losses:
            raise ConfigError('CloudRemover has no loss to train with; give pixel_loss or cloud_loss')
        return losses

    def predict_images(self, images: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
                       progress: Any = None) -> Tensor:
        """Restore images of any size.

        Args:
            images: ``img`` (B, C, H, W), and ``sar`` (B, 2, H, W) if it is among the inputs, in [0, 1].
            tile: as in the constructor, whose value it overrides.
            overlap: likewise.
            progress: passed to :func:`~mmweather.models.ops.tiling.run_tiled`.

        Returns:
            (B, C, H, W), clamped to [0, 1].
        """
        output = run_tiled(self._image, self.select(images), self.inference_contract, tile or self.tile,
                           self.tile_overlap if overlap is None else overlap, progress)
        return output.clamp(0, 1)
