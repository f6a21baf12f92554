"""Images of one scene in several folders, paired by the stem of the file name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.files import read_json, read_text
from ..utils.images import is_image_file
from ..utils.text import plural, shorten


def list_images(folder: str | Path) -> dict[str, Path]:
    """The pictures of one folder, ``{stem: path}``, sorted by stem; other files are ignored.

    Raises:
        DataError: the folder is missing, holds no picture, or holds two pictures with one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no such folder: '{folder}'; check data_root and data_prefix")
    found: dict[str, Path] = {}
    twice: list[str] = []
    for path in sorted(folder.iterdir()):
        if not is_image_file(path) or path.is_dir():
            continue
        if path.stem in found:
            twice.append(f'{found[path.stem].name} = {path.name}')
        found[path.stem] = path
    if twice:
        raise DataError(f"'{folder}' holds several images with one stem: {shorten(twice)}; keep one of each")
    if not found:
        raise DataError(f"'{folder}' holds no image; check data_root and data_prefix, or put the images there")
    return found


def read_stems(path: str | Path) -> list[str]:
    """A split file: one stem a line; empty lines and lines starting with ``#`` are skipped.

    Raises:
        DataError: the file is missing or unreadable, names nothing, or names a stem twice.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"split file '{path}' cannot be read ({error}); give a text file, one stem a line") from error
    stems = [line.strip() for line in lines if line.strip() and not line.strip().startswith('#')]
    if not stems:
        raise DataError(f"split file '{path}' names no image; write one stem a line")
    if len(set(stems)) != len(stems):
        twice = {stem for stem in stems if stems.count(stem) > 1}
        raise DataError(f"split file '{path}' names {shorten(twice)} more than once; keep one line of each")
    return stems


def read_quarantine(path: str | Path) -> set[str]:
    """The list that ``mmweather check --quarantine`` writes.

    Raises:
        DataError: the file is missing or is not a JSON list of strings.
    """
    try:
        entries = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"quarantine file '{path}' cannot be read ({error}); write it with mmweather check --quarantine") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise DataError(f"quarantine file '{path}' must be a JSON list of stems or relative paths")
    return {entry.replace('\\', '/') for entry in entries}


def hold_out(stems: list[str], holdout: Mapping[str, Any] | None) -> list[str]:
    """The part of the sorted stems that a checked ``holdout`` leaves; all without one."""
    if not holdout:
        return stems
    wanted = holdout['part'] == 'val'
    return [stem for rank, stem in enumerate(stems) if (rank % holdout['every'] == holdout['offset']) == wanted]


def check_holdout(holdout: Mapping[str, Any]) -> dict[str, Any]:
    """``holdout`` of :class:`PairedImageDataset` with its defaults filled in.

    Raises:
        ConfigError: a key is unknown or a value is out of range.
    """
    known = {'every', 'offset', 'part'}
    unknown = set(map(repr, set(holdout) - known))
    if unknown:
        raise ConfigError(f'holdout has no key {shorten(unknown)}; it takes {sorted(known)}')
    value = {'every': 10, 'offset': 0, **holdout}
    if value.get('part') not in ('train', 'val'):
        raise ConfigError(f"holdout.part must be 'train' or 'val', got {value.get('part')!r}")
    every, offset = value['every'], value['offset']
    if not isinstance(every, int) or every < 2:
        raise ConfigError(f'holdout.every must be an integer of at least 2, got {every!r}')
    if not isinstance(offset, int) or not 0 <= offset < every:
        raise ConfigError(f'holdout.offset must lie in 0..{every - 1}, got {offset!r}')
    return value


def warm_loaders(dataset: BaseDataset) -> None:
    """Let the caching loaders of a data set's pipeline decode all of its images."""
    for loader in dataset.pipeline.transforms:
        if hasattr(loader, 'warm'):
            loader.warm(dataset.get_data_info(index) for index in range(len(dataset)))


@DATASETS.register_module()
class PairedImageDataset(BaseDataset):
    """Files paired by stem, in the order of the sorted stems.

    A sample is ``{'<key>_path': str, ..., 'sample_key': stem, 'sample_idx': int}`` with one path for each key of
    ``data_prefix``, handed to ``pipeline`` (see ``mmweather.LoadImages``).  No picture is opened before a sample is
    asked for, unless the pipeline's loader caches.

    Args:
        data_root: folder that the prefixes are relative to.
        data_prefix: ``{key: folder}``, as in ``dict(img='Vis/input', gt='Vis/target', ir='Inf/input')``.
        ann_file: optional split, a text file with one stem a line; samples come in sorted order all the same.
        holdout: optional ``dict(every=10, offset=0, part='train' | 'val')``.  ``val`` keeps the samples whose rank
            among the sorted stems is ``offset`` modulo ``every``; ``train`` keeps the others.  The rank is counted
            after ``ann_file`` and before ``quarantine``, so a quarantined file moves no other sample.
        quarantine: optional JSON file, relative to ``data_root`` as ``ann_file`` is, that lists the samples to skip:
            stems, or files relative to ``data_root``.
        pipeline: transforms.
        test_mode: a pipeline that returns None is then an error.
        kwargs: of ``mmengine.BaseDataset``.

    Raises:
        DataError: a folder is missing or empty, a stem occurs twice or lacks a partner, a split names unknown stems.
        ConfigError: ``data_prefix`` is empty or ``holdout`` is wrong.
    """

    METAINFO = {'dataset_type': 'paired_image', 'task_name': 'restoration'}
    scene_is_stem = False
    """Whether one stem in two splits of one ``data_root`` is one scene; such splits are refused (``leakage``)."""

    def __init__(self,
                 data_root: str = '',
                 data_prefix: Mapping[str, str] | None = None,
                 ann_file: str = '',
                 holdout: Mapping[str, Any] | None = None,
                 quarantine: str | None = None,
                 pipeline: Sequence[Any] = (),
                 test_mode: bool = False,
                 **kwargs: Any) -> None:
        data_prefix = dict(data_prefix or {})
        if not data_prefix:
            raise ConfigError("data_prefix is empty; name one folder a key, as in dict(img='input', gt='target')")
        self.holdout = check_holdout(holdout) if holdout is not None else None
        self.quarantine = quarantine
        super().__init__(
            ann_file=str(ann_file or ''), data_root=str(data_root or ''), data_prefix=data_prefix,
            pipeline=list(pipeline), test_mode=test_mode, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find and pair the files; called once by ``full_init``."""
        folders = {key: Path(prefix) for key, prefix in self.data_prefix.items()}
        files = {key: list_images(folder) for key, folder in folders.items()}
        every_stem = set().union(*files.values())
        skipped = self._skipped(files)
        stems = self._listed(every_stem)
        for key, found in files.items():
            missing = [stem for stem in stems if stem not in found and stem not in skipped]
            if missing:
                raise DataError(
                    f"{plural(len(missing), 'image')} without a matching file in '{folders[key]}' (key '{key}'): "
                    f'{shorten(missing)}; add them, remove their partners, or list them in a quarantine file '
                    '(mmweather check --quarantine)')
        stems = [stem for stem in self._held(stems) if stem not in skipped]
        if not stems:
            raise DataError(f"no sample is left in '{self.data_root or shorten(map(str, folders.values()))}' after "
                            'ann_file, holdout and quarantine; loosen one of them')
        return [{**{f'{key}_path': str(found[stem]) for key, found in files.items()}, 'sample_key': stem}
                for stem in stems]

    def _listed(self, every_stem: set[str]) -> list[str]:
        if not self.ann_file:
            return sorted(every_stem)
        stems = sorted(read_stems(self.ann_file))
        unknown = set(stems) - every_stem
        if unknown:
            raise DataError(f"split file '{self.ann_file}' names {shorten(unknown)}, of which no image exists in "
                            f"{shorten(self.data_prefix.values())}; fix the list")
        return stems

    def _held(self, stems: list[str]) -> list[str]:
        return hold_out(stems, self.holdout)

    def select(self, every_stem: Iterable[str]) -> list[str]:
        """Which of the stems belong to this data set by ``ann_file`` and ``holdout``; the quarantine is not applied.

        Raises:
            DataError: ``ann_file`` cannot be read or names a stem that is not among them.
        """
        return self._held(self._listed(set(every_stem)))

    @property
    def scene_domain(self) -> str:
        """Where :meth:`scene_names` mean the same."""
        return f'{type(self).__name__} {Path(self.data_root).absolute()}'

    def scene_names(self) -> set[str]:
        """Scenes of this split, for the guard against leakage; none unless ``scene_is_stem``."""
        if not self.scene_is_stem:
            return set()
        try:
            return set(self.select(set().union(*map(list_images, self.data_prefix.values()))))
        except DataError:
            return set()  # reported where the files are loaded, if they are

    def _skipped(self, files: Mapping[str, Mapping[str, Path]]) -> set[str]:
        if not self.quarantine:
            return set()
        entries = read_quarantine(Path(self.data_root) / self.quarantine)
        root = Path(self.data_root).absolute()
        skipped = set()
        for found in files.values():
            for stem, path in found.items():
                path = path.absolute()
                relative = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
                if stem in entries or relative in entries:
                    skipped.add(stem)
        return skipped

    def full_init(self) -> None:
        """List the files; then let caching loaders decode them here, where forked workers share the memory."""
        if self._fully_initialized:
            return
        super().full_init()
        warm_loaders(self)
