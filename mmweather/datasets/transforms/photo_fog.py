"""Fog on clear photos with depth, and the local contrast that makes fog easier to see through."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...weather.apply import generator_of, stand_in_depth
from ...weather.photo_fog import PhotoFog, refine_depth
from ..tools.fog_set import read_depth


@TRANSFORMS.register_module()
class AddPhotoFog(BaseTransform):
    """Add fog to a clear photo by its depth map, drawn by :class:`~mmweather.weather.photo_fog.PhotoFog`.

    The depth map may be smaller than the photo and an estimate: it is enlarged and brought to the photo's edges.

    Required keys: ``source``, uint8 (H, W, 3); ``depth_path``, optional.  Modified key: ``key``.  Added key:
    ``clean_key``, the photo as it was.

    Args:
        depth_scale: metres of one level of the depth map, see :func:`~mmweather.datasets.tools.fog_set.read_depth`.
        prob: probability of fog; other photos stay as they are.
        seed: None draws from NumPy's global state; a number makes the fog a function of it and of the photo, for
            test sets.
        key: the image that gets fog.
        source: the clear image; ``key`` if None.
        clean_key: where the clear image is kept; None does not keep it.
        stand_in: take the middle of the photo for far where there is no depth map, instead of an error.
        fog: arguments of :class:`~mmweather.weather.photo_fog.PhotoFog`.

    Raises:
        ConfigError: an argument is wrong or the photo is not loaded.
        DataError: the depth map is missing or cannot be read.
    """

    def __init__(self, depth_scale: float | None = None, prob: float = 1.0, seed: int | None = None, key: str = 'img',
                 source: str | None = None, clean_key: str | None = None, stand_in: bool = False,
                 fog: dict[str, Any] | None = None) -> None:
        if not 0 <= prob <= 1:
            raise ConfigError(f'AddPhotoFog: prob must be in [0, 1], got {prob!r}')
        try:
            self.fog = PhotoFog(**(fog or {}))
        except TypeError as error:
            raise ConfigError(f'AddPhotoFog: fog has a wrong key ({error}); see mmweather.weather.photo_fog.PhotoFog'
                              ) from error
        self.depth_scale = depth_scale
        self.prob = prob
        self.seed = seed
        self.key = key
        self.source = source or key
        self.clean_key = clean_key
        self.stand_in = stand_in

    def _depth(self, results: dict, image: np.ndarray) -> np.ndarray:
        path = results.get('depth_path')
        if path:
            return refine_depth(read_depth(path, self.depth_scale), image)
        if not self.stand_in:
            raise DataError(f"'{results.get(f'{self.source}_path', 'a sample')}' has no depth map: name its folder in "
                            "data_prefix (depth='...'), or set stand_in=True in AddPhotoFog")
        return stand_in_depth(*image.shape[:2])

    def transform(self, results: dict) -> dict:
        """Add fog to one sample."""
        image = results.get(self.source)
        if image is None:
            raise ConfigError(f"AddPhotoFog: the sample has no '{self.source}'; put it behind the step that loads it")
        rng = (np.random.default_rng(np.random.randint(2**31, size=4)) if self.seed is None
               else generator_of(image, 'photo fog', self.seed))
        if rng.random() < self.prob:
            results[self.key] = self.fog.apply(image, self._depth(results, image), rng)
        else:
            results[self.key] = image.copy()
        if self.clean_key:
            results[self.clean_key] = image
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(prob={self.prob}, seed={self.seed}, key={self.key!r}, '
                f'source={self.source!r}, fog={self.fog})')


@TRANSFORMS.register_module()
class LocalContrast(BaseTransform):
    """Contrast-limited adaptive histogram equalisation (CLAHE) of the lightness L of CIELAB, by OpenCV.

    In front of a detector it is the strongest simple step against fog.  Put it before resizing.

    Required key: ``img``, uint8 (H, W, 3) BGR.  Modified key: ``img``.  Added key: ``keep``.

    Args:
        clip: limit of the contrast.
        tiles: number of tiles along each side.
        keep: key under which the image without the step is kept, for a restoration that begins from it; None does not
            keep it.
    """

    def __init__(self, clip: float = 2.0, tiles: int = 8, keep: str | None = None) -> None:
        self.clip = clip
        self.tiles = tiles
        self.keep = keep

    def transform(self, results: dict) -> dict:
        """Change one sample."""
        image = np.ascontiguousarray(results['img'])
        lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
        lab[..., 0] = cv2.createCLAHE(self.clip, (self.tiles, self.tiles)).apply(lab[..., 0])
        results['img'] = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
        if self.keep:
            results[self.keep] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(clip={self.clip}, tiles={self.tiles}, keep={self.keep!r})'
