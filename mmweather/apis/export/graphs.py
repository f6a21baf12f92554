"""Inference as a plain function of pictures: what is exported.

All graphs take pictures as float32 RGB in [0, 1], (B, C, H, W), whatever the model's own preprocessing wants; thermal
images are counts, (B, 1, H, W). Height and width must be multiples of ``multiple_of`` and at least ``minimum``: who
calls the graph pads at the bottom and on the right, and crops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from ...inputs import THERMAL
from ...methods import input_of
from ...models.ops.contract import InferenceContract
from ...models.ops.padding import padded_size


@dataclass(frozen=True)
class Graph:
    """A module to export and how it is called.

    Args:
        module: the inference path, in evaluation mode.
        task: ``'restore'``, ``'detect'`` or ``'segment'``.
        inputs: name -> channels, in the order in which ``module`` takes them.
        outputs: names, in the order in which it returns them.
        multiple_of: height and width must be multiples of it.
        minimum: least height and width.
        classes: names of the classes of a detector or segmentor; empty where the model carries no config.
    """

    module: nn.Module
    task: str
    inputs: dict[str, int]
    outputs: tuple[str, ...]
    multiple_of: int = 1
    minimum: int = 1
    classes: tuple[str, ...] = ()

    def example(self, height: int | None = None, width: int | None = None, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of the least fitting size from ``height`` x ``width`` on (256 x 320), drawn from ``seed``."""
        size = [padded_size(side, self.multiple_of, self.minimum) for side in (height or 256, width or 320)]
        generator = torch.Generator().manual_seed(seed)
        images = {name: torch.rand(1, channels, *size, generator=generator) for name, channels in self.inputs.items()}
        return tuple(21800 + 3200 * image if input_of(name).mode == 'counts' else image
                     for name, image in images.items())


class RestoringGraph(nn.Module):
    """The restorer's own inference on whole images."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *images: Tensor) -> Tensor:
        """Images in the contract's order, [0, 1], to the restored image in [0, 1]."""
        if hasattr(self.model, 'predict_images'):
            return self.model.predict_images(dict(zip(self.names, images, strict=True)), tile='none')
        return self.model(*images).clamp(0, 1)


class DetectingGraph(nn.Module):
    """A YOLOX-like detector up to the boxes of all positions, before non-maximum suppression."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.head = model.detector.bbox_head if hasattr(model, 'detector') else model.bbox_head
        self.normalise = _Normalisation(model.data_preprocessor)

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) RGB to boxes (B, N, 4), x1 y1 x2 y2 in pixels, and scores (B, N, classes) in [0, 1]."""
        classes, boxes, objects = self.head(self.model.extract_feat(self.normalise(img)))
        corners = [_decoded(box, stride) for box, (stride, _) in
                   zip(boxes, self.head.prior_generator.strides, strict=True)]
        scores = [_rows(kind.sigmoid() * seen.sigmoid()) for kind, seen in zip(classes, objects, strict=True)]
        return torch.cat(corners, 1), torch.cat(scores, 1)


class SegmentingGraph(nn.Module):
    """A segmentor up to its logits at the size of the image."""

    def __init__(self, model: Any, thermal: bool) -> None:
        super().__init__()
        self.model = model
        self.normalise = _Normalisation(model.data_preprocessor)
        self.clip = getattr(model.data_preprocessor, 'thermal_range', None) if thermal else None
        self.channels = getattr(model.data_preprocessor, 'channels', slice(None))

    def forward(self, *images: Tensor) -> Tensor:
        """RGB in [0, 1] and, where the model takes them, thermal counts, to logits (B, classes, H, W)."""
        image = images[0]
        if len(images) == 2:
            thermal = images[1] if self.clip is None else images[1].clamp(*self.clip)
            image = torch.cat((image, thermal), 1)
        elif self.normalise.mean.shape[0] == 4:
            image = F.pad(image, (0, 0, 0, 0, 0, 1))
        features = self.model.extract_feat(self.normalise(image)[:, self.channels])
        logits = self.model.decode_head(features)
        logits = logits[0] if isinstance(logits, (tuple, list)) else logits
        if logits.shape[-2:] == image.shape[-2:]:
            return logits
        return F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=self.model.align_corners)


class _Normalisation(nn.Module):
    """What a preprocessor of mmengine, mmdet or mmseg does to values, from RGB in [0, 1]."""

    def __init__(self, preprocessor: Any) -> None:
        super().__init__()
        mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
        if mean is None or std is None:
            mean, std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer('mean', mean.detach().clone().float())
        self.register_buffer('std', std.detach().clone().float())
        scale = torch.full_like(self.mean, 255)
        scale[3:] = 1  # thermal counts
        self.register_buffer('scale', scale)
        # Without a conversion the model sees what OpenCV reads: BGR. Images of four channels are RGB throughout.
        converts = getattr(preprocessor, '_channel_conversion', None)
        converts = getattr(preprocessor, 'channel_conversion', False) if converts is None else converts
        self.flip = not converts and len(self.mean) != 4

    def forward(self, image: Tensor) -> Tensor:
        image = image.flip(1) if self.flip else image
        return (image * self.scale - self.mean) / self.std


def _rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) to (B, HW, C)."""
    return maps.flatten(2).transpose(1, 2)


def _decoded(maps: Tensor, stride: int) -> Tensor:
    """YOLOX's box maps (B, 4, H, W) to corners (B, HW, 4) in pixels."""
    x = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    y = torch.arange(maps.shape[-2], device=maps.device, dtype=maps.dtype)
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'))
    centre = (maps[:, :2] + grid) * stride
    half = maps[:, 2:].exp() * (stride / 2)
    return _rows(torch.cat((centre - half, centre + half), 1))


def inference_graph(model: Any) -> Graph:
    """The exportable inference path of a model.

    Args:
        model: a restorer (anything with an ``inference_contract``), a mmdet detector with YOLOX's head (TogetherNet,
            YOLOX, either behind ``mmweather.RestoreThenDetect``), or a mmseg ``EncoderDecoder`` (HeatNet, any other).

    Returns:
        Its graph; the module shares the model's parameters and is in evaluation mode.

    Raises:
        ConfigError: there is no graph for such a model.
    """
    model = model.eval()
    contract = getattr(model, 'inference_contract', None)
    detector = getattr(model, 'detector', model)
    if hasattr(detector, 'bbox_head'):
        head = detector.bbox_head
        strides = getattr(getattr(head, 'prior_generator', None), 'strides', None)
        # Subclasses that change the losses only are exported alike.
        if not any(kind.__name__ == 'YOLOXHead' for kind in type(head).__mro__) or strides is None:
            raise ConfigError(f"{type(head).__name__}: the export of detectors knows YOLOX's head only; mmdeploy "
                              'exports others')
        multiple, least = max(stride for stride, _ in strides), 32
        if type(detector).__name__ == 'TogetherNet':
            least = 256  # it takes 128; torch.export would fix a map of one window to that size
        others, minimum = _sizes(model)
        multiple, least = math.lcm(multiple, others), max(least, minimum)
        return Graph(DetectingGraph(model).eval(), 'detect', {'img': 3}, ('boxes', 'scores'), multiple, least,
                     _classes(model, 'mmdet', head.num_classes))
    if contract is not None:
        multiple, least = _sizes(model)
        return Graph(RestoringGraph(model, contract.inputs).eval(), 'restore', _channels(model, contract.inputs),
                     ('restored', ), multiple, least)
    if hasattr(model, 'decode_head') and hasattr(model, 'extract_feat'):
        if getattr(model, 'bn_test', 'running') != 'running':
            raise ConfigError(f"model.bn_test is '{model.bn_test}': statistics of each image cannot be exported; use "
                              "weights that are tested with bn_test='running'")
        mean = getattr(model.data_preprocessor, 'mean', None)
        channels = 3 if mean is None else len(mean)
        seen = [part.channels for part in (model, model.data_preprocessor) if hasattr(part, 'channels')]
        # The thermal image is an input only where the network sees it.
        thermal = channels == 4 and all(part.stop == 4 for part in seen)
        inputs = {'img': 3, THERMAL.name: THERMAL.channels} if thermal else {'img': 3}
        return Graph(SegmentingGraph(model, thermal).eval(), 'segment', inputs, ('logits', ), 32, 32,
                     _classes(model, 'mmseg', model.decode_head.num_classes))
    raise ConfigError(f'{type(model).__name__} has no exportable inference path; give a restorer, a detector with '
                      "YOLOX's head or a mmseg EncoderDecoder")


def _classes(model: Any, toolbox: str, count: int) -> tuple[str, ...]:
    """Names of the classes where the model carries its config, as :func:`mmweather.get_model` leaves it."""
    if getattr(model, 'cfg', None) is None:
        return ()
    from ..inference.pipeline import classes_of

    return tuple(classes_of(model, model.cfg, toolbox, count)[0])


def _sizes(model: nn.Module) -> tuple[int, int]:
    """Multiple and minimum that suit every network in the model: padding between them cannot be traced."""
    contracts = [part.inference_contract for part in model.modules()
                 if isinstance(getattr(part, 'inference_contract', None), InferenceContract)]
    return (math.lcm(*(contract.multiple_of for contract in contracts)),
            max((contract.minimum for contract in contracts), default=1))


def _channels(model: nn.Module, names: tuple[str, ...]) -> dict[str, int]:
    """Channels of each input; of scenes, the network's first convolution gives how many bands are optical."""
    channels = {name: input_of(name).channels for name in names}
    generator = getattr(model, 'generator', None)
    rasters = [name for name in names if name != 'img']
    if generator is not None and 'img' in names and all(input_of(name).mode == 'bands' for name in rasters):
        total = next(layer.in_channels for layer in generator.modules() if isinstance(layer, nn.Conv2d))
        channels['img'] = total - sum(channels[name] for name in rasters)
    return channels
