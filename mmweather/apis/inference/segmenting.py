"""Segmenting as a task: see :class:`~mmweather.apis.inference.loop.Task`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ...errors import DataError
from ...utils.arrays import counts_to_grey
from ...utils.atomic import write_bytes, write_json
from ...utils.drawing import draw_labels, draw_legend, palette_of
from ...utils.images import read_image, write_image
from ...utils.thermal import check_counts, read_counts
from ..restore import as_array, autocast, device_of
from .loop import Images, Options
from .memory import check_step
from .pipeline import Pipeline, classes_of
from .report import Outcome
from .restoring import comparison
from .thermal_scale import ThermalScale


def _class_count(model: Any) -> int:
    head = getattr(model, 'decode_head', None)
    head = head[-1] if isinstance(head, (nn.ModuleList, list, tuple)) else head
    count = getattr(head, 'num_classes', 0)
    return count if isinstance(count, int) else 0


class Segmenting:
    """Classes of pixels from a segmentor of mmseg.

    Segmentors of four channels take ``img`` and ``thermal``, or only what their modalities name. Thermal pictures keep
    their counts (see :func:`~mmweather.utils.thermal.read_counts`) until
    :class:`~mmweather.apis.inference.thermal_scale.ThermalScale` brings them to those of the model.

    Args:
        model: a segmentor.
        config: its config.

    Raises:
        ConfigError: the config has no usable test pipeline.
    """

    name = 'segment'
    out_of_memory_hint = 'use --batch-size 1 or smaller pictures'

    def __init__(self, model: nn.Module, config: Config) -> None:
        self.model = model
        self.pipeline = Pipeline(config, 'mmseg')
        self.inputs = self._inputs()
        self.classes, colours = classes_of(model, config, 'mmseg', _class_count(model))
        self.palette = palette_of(colours, len(self.classes))
        wanted = getattr(getattr(model, 'data_preprocessor', None), 'thermal_range', None)
        self._scale = ThermalScale(wanted, self.pipeline.thermal_depth, self.pipeline.thermal_relative)
        self._legends: set[Path] = set()

    def _inputs(self) -> tuple[str, ...]:
        if not self.pipeline.four_channels:
            return ('img', )
        seen = set(range(4))
        for part in (getattr(self.model, 'data_preprocessor', None), self.model):
            channels = getattr(part, 'channels', None)
            if isinstance(channels, slice):
                seen &= set(range(4)[channels])
        return tuple(name for name, own in (('img', {0, 1, 2}), ('thermal', {3})) if own & seen)

    def read(self, name: str, file: Path) -> np.ndarray:
        """Read a picture, or a thermal one with its counts."""
        return read_counts(file) if name == 'thermal' else read_image(file)

    def take(self, name: str, array: np.ndarray) -> np.ndarray:
        """Check an array: uint8 (H, W, 3) RGB, or thermal counts (H, W)."""
        if name != 'thermal':
            return as_array(name, array)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        if array.ndim != 2 or not array.size or array.dtype.kind not in 'uif' or not np.isfinite(array).all():
            raise DataError(f"'thermal' must be finite numbers (H, W), got {array.dtype} {array.shape}")
        check_counts(array, "'thermal'")
        return array

    def run(self, batch: Sequence[Images], options: Options) -> list[Outcome]:
        """Segment pictures of one size."""
        notes = [''] * len(batch)
        if 'thermal' in self.inputs:
            scaled = [self._scale(images['thermal'], options.thermal_range) for images in batch]
            notes = [note for _, note in scaled]
            batch = [{**images, 'thermal': values} for images, (values, _) in zip(batch, scaled, strict=True)]
        packed = [self.pipeline(self._array(images)) for images in batch]
        data = {key: [item[key] for item in packed] for key in ('inputs', 'data_samples')}
        self.model.eval()
        check_step(self.model, self.out_of_memory_hint, data, next(iter(batch[0].values())).shape[:2], options.dtype)
        with torch.no_grad(), autocast(options.dtype, device_of(self.model)):
            samples = self.model.test_step(data)
        return [self._outcome(images, sample.cpu(), options, note)
                for images, sample, note in zip(batch, samples, notes, strict=True)]

    def _array(self, images: Images) -> np.ndarray:
        if not self.pipeline.four_channels:
            return np.ascontiguousarray(images['img'][..., ::-1])
        height, width = next(iter(images.values())).shape[:2]
        visible = images.get('img', np.zeros((height, width, 3), np.uint8))
        thermal = images.get('thermal', np.zeros((height, width), np.float32))
        return np.dstack((visible.astype(np.float32), thermal))

    def _outcome(self, images: Images, sample: Any, options: Options, note: str) -> Outcome:
        logits = sample.get('seg_logits')
        if logits is not None and not torch.isfinite(logits.data).all():
            raise DataError('the network returned values that are not finite; run it in float32 (--dtype fp32), or '
                            'check the checkpoint')
        labels = sample.pred_sem_seg.data[0].numpy()
        labels = labels.astype(np.uint8 if len(self.classes) <= 256 else np.uint16)
        first, *others = (self._shown(name, images[name]) for name in self.inputs)
        drawn = draw_labels(first, labels, self.palette) if options.draw else None
        return Outcome('', first, tuple(others), sample=sample, labels=labels, picture=drawn, note=note,
                       note_kind='thermal')

    def _shown(self, name: str, array: np.ndarray) -> np.ndarray:
        """A picture for people: thermal counts become grey, over the range that the model tells apart."""
        if name != 'thermal':
            return array
        return counts_to_grey(array, self._scale.wanted or tuple(np.percentile(array, (0, 99.8))))

    def target(self, stem: Path) -> Path:
        """The label map."""
        return stem.with_name(f'{stem.name}_labels.png')

    def write(self, outcome: Outcome, stem: Path, options: Options) -> list[Path]:
        """``<stem>.png`` with the classes in colour, ``<stem>_compare.png``, ``<stem>_labels.png`` in grey.

        Beside them ``legend.png`` and ``legend.json`` say which number and colour is which class.
        """
        pictures = {'': outcome.picture, '_compare': comparison(outcome) if options.compare else None}
        files = [write_image(stem.with_name(f'{stem.name}{ending}.png'), picture)
                 for ending, picture in pictures.items() if picture is not None]
        self._write_legend(stem)
        # Plain grey: with a palette, readers would differ on whether the values are classes or colours.
        return [*files, write_bytes(self.target(stem), cv2.imencode('.png', outcome.labels)[1].tobytes())]

    def _write_legend(self, stem: Path) -> None:
        """Once for each folder; the results of a picture that is called 'legend' are not replaced."""
        folder = stem.parent
        if folder in self._legends or stem.name == 'legend' or self.target(folder / 'legend').exists():
            return
        self._legends.add(folder)
        rows = [dict(number=number, name=name, colour=list(colour))
                for number, (name, colour) in enumerate(zip(self.classes, self.palette, strict=True))]
        write_json(folder / 'legend.json', {'classes': rows})
        if rows:
            write_image(folder / 'legend.png', draw_legend(self.classes, self.palette))
