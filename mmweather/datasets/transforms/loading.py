"""Reading the images of a sample."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mmcv.transforms import BaseTransform
from tqdm import tqdm

from ...errors import ConfigError, DataError
from ...methods import input_of
from ...registry import TRANSFORMS
from ...utils.images import read_image


def _read_grey(path: str) -> np.ndarray:
    """uint8 (H, W)."""
    return np.ascontiguousarray(read_image(path, 'grey3')[..., 0])


@TRANSFORMS.register_module()
class LoadImages(BaseTransform):
    """Read ``<key>_path`` into ``<key>`` for each key, and check that the images of a sample have one size.

    Required keys: ``<key>_path``.  Added keys: ``<key>``, uint8 (H, W, 3) RGB, (H, W) in the mode ``'grey'``;
    ``ori_shape``, (H, W).

    Decoding whole JPEGs is what small training crops wait for.  With ``cache`` the decoded pixels stay in memory:
    ``PairedImageDataset`` fills the cache when it is initialised, so that forked loader workers share one copy; under
    the spawn start method each worker fills its own.

    Args:
        keys: which images to read.
        modes: ``{key: 'rgb' | 'grey3' | 'grey'}`` (see :func:`mmweather.utils.images.read_image`; ``'grey'`` is one
            channel). By default ``mask`` is ``'grey'`` and the rest as their :class:`~mmweather.inputs.Input` says.
        same_size: raise where sizes differ.
        cache: keep decoded images in memory.
        cache_limit_mb: stop adding to the cache beyond this number of MiB; later images are decoded each time.

    Raises:
        DataError: a file cannot be read, or two sizes differ.
        ConfigError: the data set gives no path for a key.
    """

    def __init__(self,
                 keys: Sequence[str] = ('img', 'gt'),
                 modes: Mapping[str, str] | None = None,
                 same_size: bool = True,
                 cache: bool = False,
                 cache_limit_mb: int = 4096) -> None:
        self.keys = tuple(keys)
        given = dict(modes or {})
        self.modes = {key: given.get(key) or ('grey' if key == 'mask' else input_of(key).image_mode)
                      for key in self.keys}
        for key, mode in given.items():
            if key not in self.modes:
                raise ConfigError(f"LoadImages: modes names '{key}', which is not in keys {self.keys}")
            if mode not in ('rgb', 'grey3', 'grey'):
                raise ConfigError(f"LoadImages: mode of '{key}' must be 'rgb', 'grey3' or 'grey', got {mode!r}")
        self.same_size = same_size
        self.cache = cache
        self.cache_limit_mb = cache_limit_mb
        self._kept: dict[tuple[str, str], np.ndarray] = {}
        self._kept_bytes = 0

    def __getstate__(self) -> dict:
        # The pixels are left behind: pickling hundreds of MiB to a worker costs more than decoding them again.
        return {**self.__dict__, '_kept': {}, '_kept_bytes': 0}

    def _read(self, key: str, path: str) -> np.ndarray:
        name = (path, self.modes[key])
        if name in self._kept:
            return self._kept[name]
        array = read_image(path, self.modes[key]) if self.modes[key] != 'grey' else _read_grey(path)
        if self.cache and self._kept_bytes + array.nbytes <= self.cache_limit_mb * 2**20:
            array.flags.writeable = False  # a transform that writes in place would spoil later epochs
            self._kept[name] = array
            self._kept_bytes += array.nbytes
        return array

    def warm(self, samples: Iterable[Mapping[str, str]]) -> None:
        """Decode the images of ``samples`` into the cache; does nothing without ``cache``."""
        if not self.cache:
            return
        jobs = [(key, sample[f'{key}_path']) for sample in samples for key in self.keys if f'{key}_path' in sample]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for _ in tqdm(pool.map(lambda job: self._read(*job), jobs), total=len(jobs), desc='decoding', unit='image',
                          leave=False, disable=None):
                pass

    def transform(self, results: dict) -> dict:
        """Read the images of one sample."""
        for key in self.keys:
            if f'{key}_path' not in results:
                given = sorted(name[:-5] for name in results if name.endswith('_path'))
                raise ConfigError(f"LoadImages wants '{key}', but the data set gives {given}; "
                                  f"add '{key}' to its data_prefix or drop it from keys")
            results[key] = self._read(key, results[f'{key}_path'])
        first = self.keys[0]
        size = results[first].shape[:2]
        if self.same_size:
            for key in self.keys[1:]:
                other = results[key].shape[:2]
                if other != size:
                    raise DataError(
                        f"'{results[f'{first}_path']}' is {size[1]}x{size[0]} but '{results[f'{key}_path']}' is "
                        f'{other[1]}x{other[0]} (width x height); register and crop them to one size, or '
                        'list the sample in a quarantine file (mmweather check --quarantine)')
        results['ori_shape'] = tuple(size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(modes={self.modes}, cache={self.cache})'
