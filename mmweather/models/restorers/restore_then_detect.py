"""A restorer in front of any mmdet detector."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import load_checkpoint, load_into

from ..ops.contract import InferenceContract
from ..ops.tiling import run_tiled
from ..preprocessors.det_images import denormalised, normalised, picture_of


@MODELS.register_module()
class RestoreThenDetect(BaseDetector):
    """Restores images, then detects in them; the two are trained apart, or jointly from the detection loss.

    The detector keeps its own preprocessing: its normalised images are brought to RGB in [0, 1] for the restorer, and
    the restored ones back to what the detector takes.  So any pair fits together without a change to either config.

    Args:
        detector: config of a mmdet detector, with its ``data_preprocessor``.
        restorer: config of a network with an ``inference_contract`` of one image, or of a restorer such as
            ``mmweather.Restorer``.
        detector_checkpoint: weights to start the detector from.
        restorer_checkpoint: weights to start the restorer from.
        frozen: the restorer is not trained and its gradient is not taken.
        restoration_loss: config of a loss between the restored and the clean image, both RGB in [0, 1]; it counts for
            the samples that carry ``clean_img`` as ``mmweather.PairedDetPreprocessor`` delivers it.
        return_restored: predictions carry ``restored_img``, uint8 RGB (3, H, W) of the size of the original
            image.
        data_preprocessor: in place of the detector's own.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ConfigError: the restorer takes several images, or ``restoration_loss`` is given and ``frozen`` set.
        CheckpointError: a checkpoint does not fit.
    """

    def __init__(self, detector: dict, restorer: dict, detector_checkpoint: str | None = None,
                 restorer_checkpoint: str | None = None, frozen: bool = True, restoration_loss: dict | None = None,
                 return_restored: bool = False, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        detector = ConfigDict(copy.deepcopy(dict(detector)))  # mmdet reads test_cfg by attributes
        own = detector.pop('data_preprocessor', None)
        super().__init__(data_preprocessor or own or dict(type='mmdet.DetDataPreprocessor'), init_cfg)
        self.detector = MODELS.build(detector)
        self.restorer = MODELS.build(restorer)
        self.frozen = frozen
        self.return_restored = return_restored
        self.restoration_loss = MODELS.build(restoration_loss) if restoration_loss else None
        if frozen and restoration_loss:
            raise ConfigError('restoration_loss trains the restorer, and frozen=True forbids it; set frozen=False')
        if len(self.inference_contract.inputs) != 1:
            raise ConfigError(f"{type(self.restorer).__name__} takes {', '.join(self.inference_contract.inputs)}; "
                              'a restorer in front of a detector takes one image')
        self.checkpoints = {'detector': detector_checkpoint, 'restorer': restorer_checkpoint}
        self._load_parts()
        if frozen:
            self.restorer.requires_grad_(False)

    @property
    def inference_contract(self) -> InferenceContract:
        """The restorer's contract."""
        return getattr(self.restorer, 'inference_contract', InferenceContract())

    def _load_parts(self) -> None:
        for name, path in self.checkpoints.items():
            if path:
                load_into(getattr(self, name), load_checkpoint(path), f"'{path}'")

    def init_weights(self) -> None:
        """Initialise the detector and the restorer; checkpoints of the parts have the last word."""
        super().init_weights()
        self._load_parts()

    def train(self, mode: bool = True) -> RestoreThenDetect:
        """As every module; a frozen restorer stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.restorer.eval()
        return self

    # Between what the detector takes and RGB in [0, 1] ------------------------------------------------------------

    def to_unit_rgb(self, images: Tensor) -> Tensor:
        """Images as the preprocessor delivers them (B, 3, H, W) to RGB in [0, 1]."""
        return (denormalised(images, self.data_preprocessor) / 255).clamp(0, 1)

    def from_unit_rgb(self, images: Tensor) -> Tensor:
        """The inverse of :meth:`to_unit_rgb`."""
        return normalised(images * 255, self.data_preprocessor)

    def restore(self, images: Tensor) -> Tensor:
        """Restored images, (B, 3, H, W) RGB in [0, 1] both; any size."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            predict = getattr(self.restorer, 'predict_images', None)
            if predict is not None:
                return predict({self.inference_contract.inputs[0]: images}, tile='none')
            return run_tiled(self.restorer, (images, ), self.inference_contract).clamp(0, 1)

    # What mmdet calls ---------------------------------------------------------------------------------------------

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> dict[str, Any]:
        """The detector's losses on the restored images, and ``loss_restoration`` where it is configured.

        Args:
            batch_inputs: (B, 3, H, W) from the preprocessor.
            batch_data_samples: with boxes, and ``clean_img`` (3, H, W) where there is one.
        """
        restored = self.restore(self.to_unit_rgb(batch_inputs))
        losses = dict(self.detector.loss(self.from_unit_rgb(restored), batch_data_samples))
        if self.restoration_loss is not None:
            losses['loss_restoration'] = self._restoration(self.restoration_loss, restored, batch_data_samples)
        return losses

    def _restoration(self, loss: nn.Module, restored: Tensor, samples: Sequence[DetDataSample]) -> Tensor:
        paired = [index for index, sample in enumerate(samples) if 'clean_img' in sample]
        if not paired:
            return restored.sum() * 0  # every parameter keeps a gradient, which distributed training asks for
        clean = self.to_unit_rgb(torch.stack([samples[index].clean_img for index in paired]).to(restored))
        return loss(restored[paired], clean)

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample],
                **kwargs: Any) -> list[DetDataSample]:
        """Detections in the restored images.

        Args:
            batch_inputs: (B, 3, H, W) from the preprocessor.
            batch_data_samples: with the metainfo of each image.
            kwargs: passed to the detector, such as ``rescale``.

        Returns:
            The samples with ``pred_instances``, and ``restored_img`` if ``return_restored``.
        """
        restored = self.restore(self.to_unit_rgb(batch_inputs))
        samples = self.detector.predict(self.from_unit_rgb(restored), batch_data_samples, **kwargs)
        if self.return_restored:
            for image, sample in zip(restored, samples, strict=True):
                sample.restored_img = picture_of(image * 255, sample.metainfo, image.shape[-2:],
                                                 kwargs.get('rescale', True))
        return samples

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        restored = self.restore(self.to_unit_rgb(batch_inputs))
        return self.detector._forward(self.from_unit_rgb(restored), batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """The detector's features of the restored images."""
        return self.detector.extract_feat(self.from_unit_rgb(self.restore(self.to_unit_rgb(batch_inputs))))
