"""The wrapper that makes a network a mmagic restorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmagic.models.base_models import BaseEditModel
from mmagic.structures import DataSample
from torch import Tensor

from mmweather.errors import ConfigError
from mmweather.registry import MODELS
from mmweather.utils.arrays import tensor_to_uint8

from ..ops.contract import InferenceContract
from ..ops.tiling import run_tiled
from ..ops.whole_image import global_pools
from ..preprocessors.image_set import stack_targets


@MODELS.register_module()
class Restorer(BaseEditModel):
    """A network trained to turn its input images into a target, with one pixel loss.

    Any size works at inference: images are padded to what the network's ``inference_contract`` asks for, and
    run in overlapping tiles where ``tile`` is given.

    Args:
        generator: config of the network (None in subclasses that can do without); it takes the contract's inputs in
            order, (B, C, H, W) in [0, 1].
        pixel_loss: config of the loss between output and target; None where the model is only tested, or a subclass
            has losses of its own.
        tile: side of the tiles at inference in pixels, ``'auto'``, or None for whole images.
        tile_overlap: overlap of the tiles in pixels; None takes the contract's.
        eight_bit: round predictions to 8 bit before they are measured, as most published protocols do; those of
            images that are not 8-bit are never rounded.
        train_cfg: kept for MMEngine; unused.
        test_cfg: kept for MMEngine; unused.
        init_cfg: initialisation, see :class:`mmengine.model.BaseModule`.
        data_preprocessor: config; :class:`ImageSetPreprocessor` by default.
    """

    #: Children that a file of weights may leave out.
    training_only: tuple[str, ...] = ('pixel_loss', )

    def __init__(
        self,
        generator: dict | None,
        pixel_loss: dict | None = None,
        tile: int | str | None = None,
        tile_overlap: int | None = None,
        eight_bit: bool = True,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        # Past BaseEditModel's own constructor, which builds a generator and a loss in any case.
        super(BaseEditModel, self).__init__(  # type: ignore[call-arg]
            init_cfg=init_cfg, data_preprocessor=data_preprocessor or dict(type='mmweather.ImageSetPreprocessor'))
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.generator: Any = None if generator is None else MODELS.build(generator)
        self.pixel_loss: Any = None if pixel_loss is None else MODELS.build(pixel_loss)
        self.tile = tile
        self.tile_overlap = tile_overlap
        self.eight_bit = eight_bit

    @property
    def inference_contract(self) -> InferenceContract:
        """The network's contract; one of another toolbox that declares none is searched for global pooling."""
        return contract_of_network(self.generator)

    def select(self, inputs: dict[str, Tensor] | Tensor) -> tuple[Tensor, ...]:
        """The contract's inputs, in order."""
        if isinstance(inputs, Tensor):
            return (inputs, )
        return tuple(inputs[name] for name in self.inference_contract.inputs)

    def forward(self, inputs: dict[str, Tensor] | Tensor, data_samples: Sequence[DataSample] | None = None,
                mode: str = 'tensor', **kwargs: Any) -> Any:
        """As every OpenMMLab model.

        Args:
            inputs: batch from the preprocessor, (B, C, H, W) in [0, 1] each.
            data_samples: targets and metainfo.
            mode: ``'tensor'`` (network output), ``'loss'`` (dict of losses) or ``'predict'`` (data samples).
        """
        if mode == 'loss':
            return self.forward_train(inputs, data_samples or (), **kwargs)
        if mode == 'predict':
            return self.forward_inference(inputs, data_samples, **kwargs)
        return self.forward_tensor(inputs, data_samples, **kwargs)

    def forward_tensor(self, inputs: dict[str, Tensor] | Tensor, data_samples: Any = None, **kwargs: Any) -> Tensor:
        """The network's output, unclamped; sizes must fit the contract."""
        return self.generator(*self.select(inputs), **kwargs)

    def forward_train(self, inputs: dict[str, Tensor] | Tensor, data_samples: Sequence[DataSample],
                      **kwargs: Any) -> dict[str, Tensor]:
        """Pixel loss against ``gt_img`` of the data samples."""
        if self.pixel_loss is None:
            raise ConfigError('Restorer has no loss to train with; give model.pixel_loss')
        output = self.forward_tensor(inputs, data_samples, **kwargs)
        return {'loss_pixel': self.pixel_loss(output, stack_targets(data_samples).to(output.device))}

    def predict_images(self, images: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
                       progress: Any = None) -> Tensor:
        """Restore images of any size.

        Args:
            images: (B, C, H, W) in [0, 1] each, by name.
            tile: as in the constructor, whose value it overrides.
            overlap: likewise.
            progress: passed to :func:`~mmweather.models.ops.tiling.run_tiled`.

        Returns:
            (B, C, H, W), clamped to [0, 1].
        """
        output = run_tiled(self.generator, self.select(images), self.inference_contract, tile or self.tile,
                           self.tile_overlap if overlap is None else overlap, progress)
        return output.clamp(0, 1)

    def forward_inference(self, inputs: dict[str, Tensor] | Tensor, data_samples: Sequence[DataSample] | None = None,
                          **kwargs: Any) -> list[DataSample]:
        """Predictions as data samples.

        Returns:
            One data sample an image: ``output.pred_img``, ``input`` and what came with it, (C, H, W) on the CPU in
            [0, 255]: rounded to uint8, or float32 (see ``eight_bit``).
        """
        images = {'img': inputs} if isinstance(inputs, Tensor) else inputs
        return pack_predictions(images, {'pred_img': self.predict_images(images)}, data_samples, self.eight_bit)


def contract_of_network(network: Any) -> InferenceContract:
    """The contract that a network declares, else one that fits its layers."""
    declared = getattr(network, 'inference_contract', None)
    if declared is not None:
        return declared
    return InferenceContract(tiling='shared') if global_pools(network) else InferenceContract()


def pack_predictions(images: dict[str, Tensor], outputs: dict[str, Tensor],
                     data_samples: Sequence[DataSample] | None, eight_bit: bool = True) -> list[DataSample]:
    """Put outputs beside inputs and targets.

    Args:
        images: the batch, (B, C, H, W) in [0, 1] by name; ``img`` becomes ``input``.
        outputs: (B, C, H, W) in [0, 1] by name.
        data_samples: samples to extend, or None.
        eight_bit: round to uint8; samples that say ``eight_bit=False`` (see ``PackImages``) stay float all the same.

    Returns:
        Data samples as :meth:`Restorer.forward_inference` describes.
    """
    samples = [DataSample() for _ in images['img']] if data_samples is None else list(data_samples)
    for i, sample in enumerate(samples):
        prediction = DataSample()
        pictures = getattr(sample, 'eight_bit', True)
        store = tensor_to_uint8 if eight_bit and pictures else to_float_range
        prediction.set_data({name: store(value[i]) for name, value in outputs.items()})
        sample.output = prediction
        store = tensor_to_uint8 if pictures else to_float_range
        sample.set_data({'input' if name == 'img' else name: store(value[i]) for name, value in images.items()})
    return [sample.cpu() for sample in samples]


def to_float_range(image: Tensor) -> Tensor:
    """Float [0, 1] to float32 [0, 255], clamped."""
    return image.float().clamp(0, 1) * 255
