"""Foggy image, clean image and boxes through the transforms of mmdet together.

A sample of mmdet carries ``img``, uint8 (H, W, 3) **BGR**, and its boxes.  Companions are further images of the same
scene and size under keys of their own: ``clean_img``, or an infrared image.  Any transform of mmdet or mmcv moves them
too when it is wrapped in :class:`PairedTransform`.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...utils.images import IMAGE_EXTENSIONS, read_image

CLEAN = ('clean_img', )


def _read_bgr(path: str | Path, mode: str = 'rgb') -> np.ndarray:
    return np.ascontiguousarray(read_image(path, mode)[..., ::-1])


def _shown(size: Sequence[int]) -> str:
    return f'{size[1]}x{size[0]}'


def companions(results: Mapping[str, Any], keys: Sequence[str], owner: str) -> list[str]:
    """Those of ``keys`` that the sample has, each of the height and width of ``img``.

    Raises:
        ConfigError: the sample has no ``img``.
        DataError: a size differs.
    """
    if 'img' not in results:
        raise ConfigError(f"{owner}: the sample has no 'img'; load it first (mmweather.LoadDetImage)")
    found = [key for key in keys if results.get(key) is not None]
    for key in found:
        if results[key].shape[:2] != results['img'].shape[:2]:
            raise DataError(
                f"{owner}: '{results.get('img_path', 'a sample')}' is {_shown(results['img'].shape)} but its {key} "
                f"'{results.get(f'{key}_path', '')}' is {_shown(results[key].shape)} (width x height); bring them to "
                'one size, and wrap every transform before this one in mmweather.PairedTransform')
    return found


@TRANSFORMS.register_module()
class LoadDetImage(BaseTransform):
    """Read ``img_path`` as mmdet's loader does, but refuse broken files in place of showing grey rows.

    Required key: ``img_path``.  Added keys: ``img``, uint8 (H, W, 3) BGR, EXIF rotation applied; ``img_shape`` and
    ``ori_shape``, (H, W).

    Raises:
        DataError: the file cannot be read, or is not of the ``height`` and ``width`` that the annotation tells.
    """

    def transform(self, results: dict) -> dict:
        """Read one image."""
        path = results['img_path']
        image = _read_bgr(path)
        given = results.get('height'), results.get('width')
        if None not in given and tuple(given) != image.shape[:2]:
            raise DataError(f"'{path}' is {_shown(image.shape)}, but its annotation is for {given[1]}x{given[0]} "
                            '(width x height): the boxes would not fit; fix the annotation or the image')
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadCleanImage(BaseTransform):
    """Read the companion of ``img`` and check that it has the same size.

    The file is ``<key>_path`` where the data set gives one.  With any other data set of mmdet, ``folders`` makes the
    path: the last folder of ``img_path`` that is called ``folders[0]`` is replaced by ``folders[1]``; the ending may
    differ.

    Required keys: ``img``, ``img_path``.  Added keys: ``<key>``, uint8 (H, W, 3) BGR; ``<key>_path``.

    Args:
        key: name of the companion.
        folders: folder name of the foggy and of the clean images, as in ``('VOC2007-FOG', 'JPEGImages')``.
        required: raise where there is no clean image; else the sample goes on without.
        mode: ``'rgb'``, or ``'grey3'`` for infrared (see :func:`mmweather.utils.images.read_image`).

    Raises:
        ConfigError: no path is given and no rule fits.
        DataError: the file is missing or broken, or its size differs from that of ``img``.
    """

    def __init__(self,
                 key: str = 'clean_img',
                 folders: Sequence[str] | None = None,
                 required: bool = True,
                 mode: str = 'rgb') -> None:
        if folders is not None and (isinstance(folders, str) or len(folders) != 2):
            raise ConfigError(f'LoadCleanImage: folders must be a pair of folder names (foggy, clean), got {folders!r}')
        self.key = key
        self.folders = None if folders is None else tuple(folders)
        self.required = required
        self.mode = mode

    def _find(self, results: Mapping[str, Any]) -> Path | None:
        given = results.get(f'{self.key}_path')
        if given:
            return Path(given)
        if self.folders is None:
            if self.required:
                raise ConfigError(f"LoadCleanImage: the data set gives no '{self.key}_path'; add the folder to its "
                                  "data_prefix, or give folders=('<foggy>', '<clean>')")
            return None
        path, parts = Path(results['img_path']), list(Path(results['img_path']).parts)
        if self.folders[0] not in parts[:-1]:
            raise ConfigError(f"LoadCleanImage: '{path}' lies in no folder '{self.folders[0]}'; fix folders")
        place = len(parts) - 2 - parts[-2::-1].index(self.folders[0])
        parts[place] = self.folders[1]
        wanted = Path(*parts)
        for one in (wanted, *(wanted.with_suffix(ending) for ending in IMAGE_EXTENSIONS)):
            if one.is_file():
                return one
        if self.required:
            raise DataError(f"'{path}' has no clean image '{wanted}' (nor one of another ending); add it or drop the "
                            'foggy one')
        return None

    def transform(self, results: dict) -> dict:
        """Read one companion."""
        path = self._find(results)
        if path is None:
            return results
        results[f'{self.key}_path'] = str(path)
        results[self.key] = _read_bgr(path, self.mode)
        companions(results, (self.key, ), type(self).__name__)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(key={self.key!r}, folders={self.folders}, required={self.required})'


def _random_state() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_random_state(state: tuple[Any, Any, torch.Tensor]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


def _equal_state(one: tuple[Any, Any, torch.Tensor], other: tuple[Any, Any, torch.Tensor]) -> bool:
    numbers = all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))
    return numbers and one[0] == other[0] and torch.equal(one[2], other[2])


def _view(results: Mapping[str, Any], key: str, images: Sequence[str]) -> dict:
    """The sample with the companion in the place of ``img``; everything but images is copied."""
    if results.get(key) is None:
        raise DataError(f"'{results.get('img_path', 'a sample')}' has no '{key}', but the sample that it is mixed with "
                        'has; load it for all samples or for none')
    rest = {name: value for name, value in results.items() if name not in images and name != 'mix_results'}
    view = copy.deepcopy(rest)
    view['img'] = results[key]
    if 'mix_results' in results:
        view['mix_results'] = [_view(mixed, key, images) for mixed in results['mix_results']]
    return view


def _geometry(results: Mapping[str, Any]) -> list[np.ndarray]:
    found = [np.asarray(results['img'].shape[:2])]
    for name in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        if name in results:
            value = results[name]
            found.append(np.asarray(getattr(value, 'tensor', value)))
    return found


@TRANSFORMS.register_module()
class PairedTransform(BaseTransform):
    """Run a transform of mmdet or mmcv on ``img`` and, with the very same random numbers, on its companions.

    The transform runs once for ``img`` and once for each companion in the place of ``img``, every time from the same
    state of Python's, NumPy's and torch's generators.  After each run the generators must have gone equally far and
    size and boxes must agree, so a transform that draws by what it sees is found out.  Transforms that mix images
    (``mmdet.Mosaic``, ``mmdet.MixUp`` within ``mmdet.MultiImageMixDataset``, ``mmdet.CachedMosaic``,
    ``mmdet.CachedMixUp``) mix the companions of the mixed images.

    A colour transform for the foggy image alone needs no wrapper.

    Args:
        transform: config of the transform (or the transform).
        keys: companions; those that a sample lacks are left out.

    Raises:
        ConfigError: the transform treats a companion otherwise than ``img``.
        DataError: a companion differs in size, or a mixed sample lacks one.
    """

    def __init__(self, transform: Mapping[str, Any] | Any, keys: Sequence[str] = CLEAN) -> None:
        self.step = TRANSFORMS.build(dict(transform)) if isinstance(transform, Mapping) else transform
        self.keys = (keys, ) if isinstance(keys, str) else tuple(keys)
        if hasattr(self.step, 'get_indexes'):
            # MultiImageMixDataset looks for it to know what to mix.
            self.get_indexes = self.step.get_indexes

    def transform(self, results: dict) -> dict | None:
        """Transform one sample; None where the transform gives up on it."""
        name = type(self.step).__name__
        keys = companions(results, self.keys, name)
        if not keys:
            return self.step(results)
        images = ('img', *self.keys)
        views = {key: _view(results, key, images) for key in keys}
        cache = list(getattr(self.step, 'results_cache', ()))
        start = _random_state()
        moved = self.step(results)
        end = _random_state()
        cache_after = list(getattr(self.step, 'results_cache', ()))
        found = {}
        for key, view in views.items():
            _set_random_state(start)
            if hasattr(self.step, 'results_cache'):
                self.step.results_cache = [_view(one, key, images) for one in cache]
            other = self.step(view)
            agree = (moved is None) == (other is None) and _equal_state(_random_state(), end)
            if agree and moved is not None:
                one, two = _geometry(moved), _geometry(other)
                agree = len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
                found[key] = other['img']
            if not agree:
                raise ConfigError(f"PairedTransform: {name} moves '{key}' otherwise than 'img' (it draws by what it "
                                  'sees); use another transform')
        if hasattr(self.step, 'results_cache'):
            self.step.results_cache = cache_after
        if moved is not None:
            moved.update(found)
        return moved

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.step}, keys={self.keys})'


@TRANSFORMS.register_module()
class PairedMosaic(PairedTransform):
    """``mmdet.Mosaic`` for the companions too; a name of its own lets ``mmdet.YOLOXModeSwitchHook`` skip it.

    Args:
        keys: companions.
        kwargs: of ``mmdet.Mosaic``.
    """

    def __init__(self, keys: Sequence[str] = CLEAN, **kwargs: Any) -> None:
        super().__init__(dict(kwargs, type='mmdet.Mosaic'), keys)


@TRANSFORMS.register_module()
class PairedMixUp(PairedTransform):
    """``mmdet.MixUp`` for the companions too.

    Args:
        keys: companions.
        kwargs: of ``mmdet.MixUp``.
    """

    def __init__(self, keys: Sequence[str] = CLEAN, **kwargs: Any) -> None:
        super().__init__(dict(kwargs, type='mmdet.MixUp'), keys)


@TRANSFORMS.register_module()
class PairedRandomAffine(PairedTransform):
    """``mmdet.RandomAffine`` for the companions too.

    Args:
        keys: companions.
        kwargs: of ``mmdet.RandomAffine``.
    """

    def __init__(self, keys: Sequence[str] = CLEAN, **kwargs: Any) -> None:
        super().__init__(dict(kwargs, type='mmdet.RandomAffine'), keys)
