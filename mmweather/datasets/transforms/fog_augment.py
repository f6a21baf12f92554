"""TogetherNet's letterbox and augmentation as transforms of mmdet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor

from ...errors import ConfigError
from ...registry import TRANSFORMS
from .letterbox import FILL, JitterDraws, Placement, letterbox
from .paired import size_pair
from .paired_det import CLEAN, companions


class _OnCanvas(BaseTransform):
    """What the two share: one placement for images and boxes."""

    def __init__(self, size: int | Sequence[int], keys: Sequence[str], published_integer_boxes: bool) -> None:
        self.size = size_pair(size, type(self).__name__)
        self.keys = (keys, ) if isinstance(keys, str) else tuple(keys)
        self.published_integer_boxes = published_integer_boxes

    def _images(self, results: dict) -> list[str]:
        for name in ('gt_masks', 'gt_seg_map'):
            if name in results:
                raise ConfigError(f"{type(self).__name__} moves images and boxes, not '{name}'; do not load it")
        return ['img', *companions(results, self.keys, type(self).__name__)]

    def _place_boxes(self, results: dict, placement: Placement) -> None:
        if 'gt_bboxes' not in results:
            return
        boxes = get_box_tensor(results['gt_bboxes']).numpy().astype(float).reshape(-1, 4)
        rows = np.column_stack([boxes, np.arange(len(boxes))])
        moved = placement.boxes(rows, results['img'].shape[:2], self.published_integer_boxes)
        kept = moved[:, 4].astype(int)
        results['gt_bboxes'] = HorizontalBoxes(torch.from_numpy(moved[:, :4].astype(np.float32)))
        for name in ('gt_bboxes_labels', 'gt_ignore_flags'):
            if name in results:
                results[name] = results[name][kept]

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size={self.size}, keys={self.keys}, '
                f'published_integer_boxes={self.published_integer_boxes})')


@TRANSFORMS.register_module()
class PublishedFogAugment(_OnCanvas):
    """The paired augmentation of TogetherNet: other proportions and size, a place on a grey canvas, flip, colour.

    Equal to the published code to the last bit from the same nine numbers of NumPy's global generator, except for
    the order of the boxes, which it shuffles (see :class:`~mmweather.datasets.transforms.letterbox.JitterDraws`).
    Boxes are cut at the canvas; those no wider or no higher than one pixel are dropped.

    Required key: ``img``, uint8 (H, W, 3) BGR.  Modified keys: ``img``, the companions, ``gt_bboxes``,
    ``gt_bboxes_labels``, ``gt_ignore_flags``, ``img_shape``.  Added keys: ``scale_factor`` (w, h), ``flip``,
    ``flip_direction``.

    Args:
        size: side, or (height, width), of the canvas.
        keys: companions.
        jitter: proportions change by ``(1 +- jitter) / (1 +- jitter)``.
        scales: least and greatest length of the longer side relative to the canvas.
        hsv: greatest relative change of hue, saturation and value; None leaves the colours as they are.
        published_integer_boxes: cut box coordinates to whole pixels before flip and clipping.

    Raises:
        ConfigError: the sample has masks or no image.
        DataError: a companion differs in size.
    """

    def __init__(self,
                 size: int | Sequence[int] = 640,
                 keys: Sequence[str] = CLEAN,
                 jitter: float = 0.3,
                 scales: Sequence[float] = (0.25, 2.0),
                 hsv: Sequence[float] | None = (0.1, 0.7, 0.4),
                 published_integer_boxes: bool = False) -> None:
        super().__init__(size, keys, published_integer_boxes)
        self.jitter = jitter
        self.scales = (scales[0], scales[1])
        self.hsv = None if hsv is None else (hsv[0], hsv[1], hsv[2])

    def transform(self, results: dict) -> dict:
        """Move and recolour one sample."""
        keys = self._images(results)
        size = results['img'].shape[:2]
        draws = JitterDraws.draw()
        placement = draws.placement(size, self.size, self.jitter, self.scales)
        self._place_boxes(results, placement)
        for key in keys:
            rgb = placement.image(np.ascontiguousarray(results[key][..., ::-1]))
            rgb = rgb if self.hsv is None else draws.recolour(rgb, self.hsv)
            results[key] = np.ascontiguousarray(rgb[..., ::-1])
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = (placement.size[1] / size[1], placement.size[0] / size[0])
        results['flip'] = placement.flip
        results['flip_direction'] = 'horizontal' if placement.flip else None
        return results


@TRANSFORMS.register_module()
class Letterbox(_OnCanvas):
    """Resize with Pillow's bicubic filter to fit a grey canvas, proportions kept.

    Pillow's filter averages when it shrinks; OpenCV's, which ``mmdet.Resize`` uses, does not.

    Required key: ``img``.  Modified keys: as :class:`PublishedFogAugment`.  Added keys: ``scale_factor`` (w, h), of
    the sizes as they came out; ``pad_param``, float32 (top, bottom, left, right) in pixels of the canvas.

    Boxes are moved only if they are loaded before; for mmdet's metrics load them after, in pixels of the file.

    Args:
        size: side, or (height, width), of the canvas.
        keys: companions.
        centred: in the middle, as published, so that predictions must be shifted by ``pad_param`` before they are
            divided by ``scale_factor``; else at the upper left, which every detector of mmdet undoes by
            ``scale_factor`` alone.
        fill: grey value around the image.
        published_integer_boxes: cut box coordinates to whole pixels.

    Raises:
        ConfigError: the sample has masks or no image.
        DataError: a companion differs in size.
    """

    def __init__(self,
                 size: int | Sequence[int] = 640,
                 keys: Sequence[str] = CLEAN,
                 centred: bool = False,
                 fill: int = FILL,
                 published_integer_boxes: bool = False) -> None:
        super().__init__(size, keys, published_integer_boxes)
        self.centred = centred
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Fit one sample."""
        keys = self._images(results)
        size = results['img'].shape[:2]
        placement = letterbox(size, self.size)
        if not self.centred:
            placement = replace(placement, offset=(0, 0))
        self._place_boxes(results, placement)
        for key in keys:
            results[key] = placement.image(results[key], self.fill)
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = (placement.size[1] / size[1], placement.size[0] / size[0])
        top, left = placement.offset
        bottom, right = self.size[0] - placement.size[0] - top, self.size[1] - placement.size[1] - left
        results['pad_param'] = np.array([top, bottom, left, right], np.float32)
        return results
