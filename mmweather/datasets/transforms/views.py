"""Several moved views of an image, for what a network should say alike of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ...errors import ConfigError
from ...registry import TRANSFORMS
from .formatting import PackImages, to_chw
from .weak_view import WeakView


@TRANSFORMS.register_module()
class WeakViews(BaseTransform):
    """Moved views of an image (see :class:`~mmweather.datasets.transforms.weak_view.WeakView`), each drawn anew.

    Required key: ``source``.  Added key: ``<source>_views``, uint8 (copies, size, size, 3).

    Args:
        source: key of the image, uint8 (H, W, 3) of any size.
        copies: number of views.
        size: their side in pixels.
        zoom: how much larger the picture is made before the crop.

    Raises:
        ConfigError: the image is absent, or a number is not positive.
    """

    def __init__(self, source: str = 'gt', copies: int = 5, size: int = 256, zoom: float = 1.4) -> None:
        if copies < 1 or size < 1 or zoom < 1:
            raise ConfigError(f'WeakViews: copies and size must be positive and zoom at least 1, got {copies}, {size} '
                              f'and {zoom}')
        self.source = source
        self.copies = copies
        self.size = size
        self.zoom = zoom
        self.view = WeakView(size, zoom)

    def transform(self, results: dict) -> dict:
        """Draw the views of one sample."""
        if self.source not in results:
            raise ConfigError(f"WeakViews: the sample has no '{self.source}'; load it before")
        results[f'{self.source}_views'] = np.stack([self.view(results[self.source]) for _ in range(self.copies)])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(source={self.source!r}, copies={self.copies}, size={self.size})'


@TRANSFORMS.register_module()
class PackViews(PackImages):
    """Pack the images and the views of a sample for a semi-supervised restorer.

    As :class:`PackImages` without a target; ``inputs`` has also each of ``views``, uint8 (K, C, H, W).

    Args:
        keys: images, (H, W, C); those of unlabelled samples under their own names.
        views: stacks of views, (K, H, W, C).
        kwargs: of :class:`PackImages`.

    Raises:
        ConfigError: a key is absent.
        DataError: an image is not uint8.
    """

    def __init__(self, keys: Sequence[str] = ('img', 'gt'), views: Sequence[str] = (), **kwargs: Sequence[str]) -> None:
        super().__init__(keys=keys, gt=None, **kwargs)
        self.views = tuple(views)

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        packed = super().transform(results)
        for key in self.views:
            if key not in results:
                raise ConfigError(f"PackViews: the sample has no '{key}'; draw it with WeakViews")
            packed['inputs'][key] = torch.stack([to_chw(view) for view in results[key]])
        # Beside the batch they would be sent to the main process twice.
        for key in self.keys:
            if key != 'img':
                packed['data_samples'].pop(key)
        return packed
