"""The sand-dust images of the SSDIE-Net authors: clean ones with depth, real dusty ones without references."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.runs import check_target
from .paired import PairedImageDataset, list_images
from .tools.placing import check_source, place_files


@DATASETS.register_module()
class SandDust(PairedImageDataset):
    """One part of the sand-dust set in its published layout.

    ``<root>/train/clean/*.png``: a clean image (left) and a picture of its depth (right) side by side, 512x256, the
    depth in the jet palette, red is near; ``<root>/train/dust/*``: real dusty photos of any size;
    ``<root>/test/*``: the same for testing. Photos have no references. The published set has no validation split;
    ``holdout`` takes one out of a training part.

    Args:
        data_root: folder that holds ``train`` and ``test``.
        part: ``'clean'`` (samples have ``pair_path``), ``'dust'`` or ``'test'``.
        key: name of the photos in a sample, as in ``<key>_path``: ``'unlabelled'`` in training; ``'img'`` by default.
        data_prefix: other folders, relative to ``data_root``; replaces the choice by ``part``. Clean images
            with depth in files of their own: ``dict(gt='clean', depth='depth')``, paired by stem.
        kwargs: of :class:`PairedImageDataset`.

    Raises:
        ConfigError: unknown ``part``.
        DataError: a folder is missing or empty; see :class:`PairedImageDataset`.
    """

    METAINFO = {
        'dataset_type': 'sand_dust',
        'task_name': 'dust removal',
        'source': 'https://github.com/bartani/SSDIE-Net',
    }
    FOLDERS = {'clean': 'train/clean', 'dust': 'train/dust', 'test': 'test'}

    def __init__(self,
                 data_root: str = 'data/sand_dust',
                 part: str = 'dust',
                 key: str = 'img',
                 data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if part not in self.FOLDERS:
            raise ConfigError(f'part must be one of {", ".join(self.FOLDERS)}, got {part!r}')
        if data_prefix is None:
            data_prefix = {'pair' if part == 'clean' else key: self.FOLDERS[part]}
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)


def install_sand_dust(source: str | Path, target: str | Path, copy: bool = False) -> dict[str, int]:
    """Put a downloaded sand-dust set where the configs look for it.

    Every clean image is checked for its depth beside it. ``target`` appears complete or not at all.

    Args:
        source: folder that holds ``train`` and ``test``, or one that holds that folder at most two levels below.
        target: a new or empty folder.
        copy: copy the files instead of linking them.

    Returns:
        Number of images, ``{'clean': n, 'dust': n, 'test': n}``.

    Raises:
        DataError: the layout is another, a clean image has no depth beside it, or ``target`` is not empty.
    """
    from ..utils.images import read_image
    source, target = check_source(source), check_target(target)
    roots = [path.parents[1] for depth in range(3) for path in sorted(source.glob('*/' * depth + 'train/dust'))]
    if not roots:
        raise DataError(f"'{source}' holds no train/dust; give the folder with train and test of the sand-dust set")
    files = {part: list(list_images(roots[0].absolute() / folder).values())
             for part, folder in SandDust.FOLDERS.items()}
    for path in tqdm(files['clean'], desc='checking', unit='file', disable=None):
        height, width = read_image(path).shape[:2]
        if width != 2 * height:
            raise DataError(f"'{path}' is {width}x{height} (width x height): an image and its depth side by side are "
                            'twice as wide as high; add the depth or move the file away')
    place_files([(path, SandDust.FOLDERS[part]) for part, found in files.items() for path in found], target, copy)
    return {part: len(found) for part, found in files.items()}
