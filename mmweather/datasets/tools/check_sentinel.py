"""What the doctor looks at in SEN12MS-CR."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...errors import ConfigError, DataError
from ...utils.rasters import read_raster
from ..sen12mscr import SEN12MSCR, SENSOR_OF
from ..sen12mscr_layout import Patches, index_patches
from ..sen12mscr_splits import SPLITS
from ..transforms.sentinel_loading import L1C, L2A, SAR, check_bands, numbers_of
from .check import Group, Look, digest_of

MAX_MISSING = 0.5
"""Largest share of values without data, as ``mmweather.LoadSentinel`` has it by default."""


def look_at_raster(key: str, path: Path) -> Look:
    """Read a file of ``img``, ``gt`` or ``sar`` to the end; bands and missing data are checked as when loading."""
    try:
        raster = read_raster(path)
        count = raster.pixels.shape[-1]
        check_bands(raster, SAR if key == 'sar' else L2A if count == len(L2A) else L1C, path)
        numbers_of(raster, path, MAX_MISSING)
    except DataError as error:
        return Look(None, fault=str(error))
    header = dataclasses.replace(raster, pixels=raster.pixels[..., :0])
    return Look(raster.pixels.shape[:2], digest_of(raster.pixels), header=header)


def sentinel_group(name: str, patches: Patches) -> Group:
    """The patches of one split, paired by their keys."""
    files = {key: {patch: found[sensor] for patch, found in patches.files.items() if sensor in found}
             for key, sensor in SENSOR_OF.items()}
    return Group(name, patches.root, {}, None, files, look_at_raster)


def groups_of_sen12mscr(root: Path) -> list[Group]:
    """One group a split, and one without a name for scenes that no list has.

    Raises:
        DataError: there is no patch, or the lists share a scene.
    """
    patches = index_patches(root)
    groups, rest = [], dict(patches.files)
    for split in SPLITS:
        try:
            part = SEN12MSCR(str(root), split=split, lazy_init=True).select(patches)
        except ConfigError:
            continue  # own lists may lack a split
        if part.files:
            groups.append(sentinel_group(split, part))
            rest = {key: found for key, found in rest.items() if key not in part.files}
    return [*groups, *([sentinel_group('', Patches(root, patches.layout, rest))] if rest else [])]
