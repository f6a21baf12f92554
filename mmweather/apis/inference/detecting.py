"""Detecting as a task: see :class:`~mmweather.apis.inference.loop.Task`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ...errors import DataError
from ...utils.atomic import write_json
from ...utils.drawing import draw_boxes, palette_of
from ...utils.images import read_image, write_image
from ..restore import as_array, autocast, device_of
from .loop import Images, Options
from .memory import check_step
from .pipeline import Pipeline, classes_of
from .report import Outcome
from .restoring import comparison


class Detecting:
    """Boxes from a detector of mmdet, drawn on the given picture, and the restored one where the detector restores.

    Args:
        model: a detector.
        config: its config.

    Raises:
        ConfigError: the config has no usable test pipeline.
    """

    name = 'detect'
    inputs = ('img', )
    out_of_memory_hint = 'use --batch-size 1 or smaller pictures'

    def __init__(self, model: nn.Module, config: Config) -> None:
        self.model = model
        self.pipeline = Pipeline(config, 'mmdet')
        self.classes, self._colours = classes_of(model, config, 'mmdet')

    def read(self, name: str, file: Path) -> np.ndarray:
        """Read a picture."""
        return read_image(file)

    def take(self, name: str, array: np.ndarray) -> np.ndarray:
        """Check an array."""
        return as_array(name, array)

    def run(self, batch: Sequence[Images], options: Options) -> list[Outcome]:
        """Detect in pictures of one size."""
        pictures = [images['img'] for images in batch]
        packed = [self.pipeline(np.ascontiguousarray(picture[..., ::-1])) for picture in pictures]
        data = {key: [item[key] for item in packed] for key in ('inputs', 'data_samples')}
        self.model.eval()
        where = device_of(self.model)
        check_step(self.model, self.out_of_memory_hint, data, pictures[0].shape[:2], options.dtype)
        with torch.no_grad(), autocast(options.dtype, where), restoring(self.model):
            samples = self.model.test_step(data)
        return [self._outcome(picture, sample.cpu(), options)
                for picture, sample in zip(pictures, samples, strict=True)]

    def _outcome(self, picture: np.ndarray, sample: Any, options: Options) -> Outcome:
        detections, masks = self._boxes(sample.get('pred_instances'), options.score_thr, picture.shape[:2])
        restored = sample.get('restored_img')
        if restored is not None:
            restored = np.ascontiguousarray(restored.permute(1, 2, 0).numpy())
        drawn = None
        if options.draw:
            top = max((found['label'] for found in detections), default=-1)
            palette = palette_of(self._colours, max(len(self.classes), top + 1))
            # On what the user gave: there one sees what a box is about, also where the restored picture is poor.
            drawn = draw_boxes(picture, detections, palette, masks)
        return Outcome('', picture, restored=restored, sample=sample, detections=detections, picture=drawn)

    def _boxes(self, found: Any, least: float, size: tuple[int, ...]) -> tuple[list[dict[str, Any]], np.ndarray | None]:
        """Detections of at least that score, best first, and their masks if there are any."""
        if found is None or not len(found):
            return [], None
        boxes = getattr(found.bboxes, 'tensor', found.bboxes).float().numpy()
        scores, labels = found.scores.float().numpy(), found.labels.numpy()
        if np.isnan(boxes).any() or np.isnan(scores).any():
            raise DataError('the network returned boxes that are not numbers; run it in float32 (--dtype fp32), or '
                            'check the checkpoint')
        boxes = boxes.clip(0, [size[1], size[0], size[1], size[0]])  # not every head cuts them at the border
        order = [i for i in np.argsort(-scores, kind='stable') if scores[i] >= least]
        names = [self.classes[label] if label < len(self.classes) else f'class {label}' for label in labels]
        masks = found.get('masks')
        return [
            dict(label=int(labels[i]), name=names[i], score=round(float(scores[i]), 4),
                 box=[round(float(value), 2) for value in boxes[i]]) for i in order
        ], None if masks is None else np.asarray(masks)[order]

    def target(self, stem: Path) -> Path:
        """The list of boxes."""
        return stem.with_name(f'{stem.name}.json')

    def write(self, outcome: Outcome, stem: Path, options: Options) -> list[Path]:
        """``<stem>.png`` with the boxes drawn, ``<stem>_restored.png``, ``<stem>_compare.png``, ``<stem>.json``."""
        pictures = {'': outcome.picture, '_restored': outcome.restored,
                    '_compare': comparison(outcome) if options.compare else None}
        files = [write_image(stem.with_name(f'{stem.name}{ending}.png'), picture)
                 for ending, picture in pictures.items() if picture is not None]
        return [*files, write_json(self.target(stem), boxes_record(outcome))]


def boxes_record(outcome: Outcome) -> dict[str, Any]:
    """Detections as they are written: boxes are x1, y1, x2, y2 in pixels of the picture."""
    height, width = outcome.image.shape[:2]
    name = outcome.source.name if isinstance(outcome.source, Path) else outcome.source
    return dict(image=name, width=width, height=height, boxes=outcome.detections)


@contextlib.contextmanager
def restoring(model: Any) -> Iterator[None]:
    """Have a detector that can restore (TogetherNet, RestoreThenDetect) give the restored picture too."""
    if hasattr(model, 'return_restored'):
        kept, model.return_restored = model.return_restored, True
        try:
            yield
        finally:
            model.return_restored = kept
    elif getattr(model, 'restoration_head', None) is not None:
        kept = model.test_cfg.get('restore', False)
        model.test_cfg.restore = True
        try:
            yield
        finally:
            model.test_cfg.restore = kept
    else:
        yield
