"""What the model made of the images, beside what went in and what was wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from mmweather.utils.arrays import side_by_side, to_uint8

from ...errors import ConfigError
from ...registry import HOOKS
from ...utils.images import write_image

GAP = 4
"""Width of the white gap between two images, in pixels."""
_BRIGHTER = 3


def to_picture(image: torch.Tensor | np.ndarray) -> np.ndarray:
    """A tensor as a picture.

    Args:
        image: (C, H, W) or (1, C, H, W) in [0, 255], any dtype: RGB, one channel, or 12 or 13 bands of Sentinel-2,
            of which B4, B3 and B2 are shown three times brighter, since land reflects little.

    Returns:
        uint8 (H, W, 3), RGB; NaN becomes black.
    """
    array = image.detach().float().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image, np.float32)
    array = array[0] if array.ndim == 4 else array
    if array.ndim == 3 and array.shape[0] in (12, 13):
        array = array[[3, 2, 1]] * _BRIGHTER
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(f'a picture must be (3, H, W), (1, H, W) or 12 or 13 bands, got {tuple(array.shape)}')
    array = to_uint8(np.nan_to_num(array, nan=0, posinf=255, neginf=0), 255)
    return np.ascontiguousarray(np.broadcast_to(array.transpose(1, 2, 0), (*array.shape[1:], 3)))


@HOOKS.register_module()
class SavePicturesHook(Hook):
    """Writes input, output, target and infrared of validated and tested samples side by side.

    The file is ``<out_dir>/<iteration>/<sample_key>.png``.  Samples are
    read as ``input``, ``output.clean`` and ``output.fused`` (steps on the way), ``output.pred_img`` (or
    ``pred_img``), ``gt_img`` and ``ir``: (C, H, W) in [0, 255], RGB; what a sample lacks is left out, and one without
    a prediction is skipped.

    Args:
        limit: pictures in each validation or test by each process; None saves all.
        out_dir: where to; ``pictures`` in the work directory by default.
        show: also open a window for each picture.
        wait_time: seconds that a window stays; 0 waits for a key.
    """

    priority = 'LOW'

    def __init__(self, limit: int | None = 8, out_dir: str | None = None, show: bool = False,
                 wait_time: float = 2) -> None:
        if limit is not None and limit < 0:
            raise ConfigError(f'SavePicturesHook: limit must be at least 0 or None, got {limit}')
        self.limit = limit
        self.out_dir = out_dir
        self.show = show
        self.wait_time = wait_time
        self._saved = 0
        self._skipped = False

    def before_val_epoch(self, runner: Any) -> None:
        """Count from zero."""
        self._saved = 0

    def before_test_epoch(self, runner: Any) -> None:
        """Count from zero."""
        self._saved = 0

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save the batch."""
        self._save(runner, outputs)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save the batch."""
        self._save(runner, outputs)

    def _save(self, runner: Any, outputs: Any) -> None:
        if not isinstance(outputs, (list, tuple)):
            outputs = [] if outputs is None else [outputs]
        for sample in outputs:
            if self.limit is not None and self._saved >= self.limit:
                return
            prediction = _field(_field(sample, 'output'), 'pred_img')
            if prediction is None:
                prediction = _field(sample, 'pred_img')
            if prediction is None:
                if not self._skipped:
                    runner.logger.warning('SavePicturesHook: samples hold no output.pred_img; nothing is saved')
                self._skipped = True
                continue
            steps = [_field(_field(sample, 'output'), name) for name in ('clean', 'fused')]
            parts = [_field(sample, 'input'), *steps, prediction, _field(sample, 'gt_img'), _field(sample, 'ir')]
            picture = side_by_side([to_picture(part) for part in parts if part is not None], GAP)
            folder = Path(self.out_dir or Path(runner.work_dir) / 'pictures') / str(_iteration(runner))
            write_image(folder / f'{sample_key(sample, self._saved)}.png', picture)
            self._saved += 1
            if self.show:
                open_window(picture, self.wait_time)


def _field(sample: Any, name: str) -> Any:
    # mmagic's and MMEngine's samples, and plain dicts, all have get.
    return sample.get(name, None) if hasattr(sample, 'get') else getattr(sample, name, None)


def _iteration(runner: Any) -> int:
    # Asking runner.iter in a test would build the training data.
    return getattr(getattr(runner, '_train_loop', None), 'iter', 0)


def sample_key(sample: Any, count: int) -> str:
    key = _field(sample, 'sample_key')
    if key is None:
        path = _field(sample, 'img_path')
        key = Path(str(path)).stem if path else f'{count:06d}'
    # A key names a file in the folder, whatever stands in the data set's list.
    return re.sub(r'[^\w.+=@-]+', '_', str(key)).lstrip('.') or f'{count:06d}'


def open_window(picture: np.ndarray, wait_time: float) -> None:
    import cv2
    try:
        cv2.imshow('input | output | target | infrared', picture[..., ::-1])
        cv2.waitKey(round(wait_time * 1000))
    except cv2.error as error:
        raise ConfigError('pictures cannot be shown: no display, or OpenCV is the headless build; '
                          'use --show-dir to save them') from error
