"""Segmented images as pictures: what went in, what came out and, where it is known, what was wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmweather.utils.arrays import counts_to_grey, side_by_side, to_uint8

from ...errors import ConfigError
from ...registry import HOOKS
from ...utils.drawing import draw_labels
from ...utils.images import write_image
from .save_pictures import GAP, open_window, sample_key


def overlay(picture: np.ndarray, classes: np.ndarray, palette: Sequence[Sequence[int]], alpha: float = 0.5,
            ignore_index: int = 255) -> np.ndarray:
    """Lay the classes' colours on a picture.

    Args:
        picture: uint8 (H, W, 3), RGB.
        classes: (H, W), ids.
        palette: RGB of each class, 0 to 255.
        alpha: share of the colour.
        ignore_index: id of pixels that stay as they are.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ConfigError: a class has no colour.
    """
    strange = sorted(set(np.unique(classes).tolist()) - {*range(len(palette)), ignore_index})
    if strange:
        raise ConfigError(f'class {strange[0]} has no colour, the data set has {len(palette)}; where the network has '
                          'other classes than the data set, give the hook prediction_map')
    return draw_labels(picture, np.where(classes == ignore_index, len(palette), classes), palette, alpha)


def visible_and_thermal(image: torch.Tensor, thermal_range: Sequence[float] | None = None) -> list[np.ndarray]:
    """A segmentor's input, not yet normalised, as pictures.

    Args:
        image: (4, H, W), RGB in [0, 255] and thermal counts; (3, H, W), BGR as mmcv loads it; or (1, H, W).
        thermal_range: counts that become black and white; the least and the greatest of the image by default.

    Returns:
        uint8 (H, W, 3), RGB, one or two.
    """
    array = image.detach().cpu().float().numpy().transpose(1, 2, 0)
    pictures = []
    if array.shape[2] >= 3:
        pictures.append(to_uint8(array[..., :3] if array.shape[2] == 4 else array[..., ::-1], 255))
    if array.shape[2] in (1, 4):
        pictures.append(counts_to_grey(array[..., -1], thermal_range))
    return [np.ascontiguousarray(picture) for picture in pictures]


@HOOKS.register_module()
class SegPicturesHook(Hook):
    """Writes a picture of each tested image: visible, thermal, prediction laid on it, label laid on it.

    It takes the place of ``mmseg.SegVisualizationHook``, which reads ``img_path`` again, so it shows neither thermal
    images nor the crop that the network saw. As ``default_hooks.visualization`` it is switched on by ``--show-dir``
    of ``tools/test.py``. Images without a label have three parts. Colours are the data set's.

    Args:
        draw: do anything at all.
        show: open a window for each picture.
        wait_time: seconds that a window stays; 0 waits for a key.
        test_out_dir: folder of the pictures, ``<sample_key or stem>.png``.
        alpha: share of the classes' colours.
        prediction_map: class of the data set of each predicted class, where the network has other classes.

    Raises:
        ConfigError: ``alpha`` is not in [0, 1], or a predicted class has no colour.
    """

    priority = 'LOW'

    def __init__(self, draw: bool = False, show: bool = False, wait_time: float = 2,
                 test_out_dir: str | None = None, alpha: float = 0.5,
                 prediction_map: Sequence[int] | None = None) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f'SegPicturesHook: alpha must be in [0, 1], got {alpha}')
        self.draw, self.show, self.wait_time = draw, show, wait_time
        self.test_out_dir, self.alpha = test_out_dir, alpha
        self.prediction_map = None if prediction_map is None else np.asarray(prediction_map)
        self._count = 0

    def picture(self, image: torch.Tensor, sample: Any, palette: Sequence[Sequence[int]],
                thermal_range: Sequence[float] | None = None) -> np.ndarray:
        """The parts side by side, in the size of the prediction.

        Args:
            image: what the segmentor's preprocessor got, see :func:`visible_and_thermal`.
            sample: with ``pred_sem_seg`` and perhaps ``gt_sem_seg``.
            palette: RGB of each class.
            thermal_range: counts that become black and white.
        """
        classes = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        if self.prediction_map is not None:
            classes = self.prediction_map[classes]
        size = classes.shape[::-1]
        parts = [part if part.shape[1::-1] == size else cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
                 for part in visible_and_thermal(image, thermal_range)]
        labels = [classes]
        if 'gt_sem_seg' in sample:
            label = sample.gt_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
            labels.append(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST))
        return side_by_side([*parts, *(overlay(parts[0], label, palette, self.alpha) for label in labels)], GAP)

    def before_test_epoch(self, runner: Any) -> None:
        """Count from zero."""
        self._count = 0

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw the batch."""
        if not self.draw:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        thermal_range = getattr(model.data_preprocessor, 'thermal_range', None)
        palette = runner.visualizer.dataset_meta['palette']
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            picture = self.picture(image, sample, palette, thermal_range)
            if self.test_out_dir is not None:
                write_image(Path(self.test_out_dir) / f'{sample_key(sample, self._count)}.png', picture)
            self._count += 1
            if self.show:
                open_window(picture, self.wait_time)
