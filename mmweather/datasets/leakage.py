"""A guard against leakage: no scene may be trained on and tested on.

Patches of one satellite scene overlap or touch, so a network that has seen one of them knows the others.  A data set
class takes part by a method ``scene_names() -> set of names`` of what its split holds (no image is opened; empty where
that is not known yet), and, where names mean something within one copy only, by an attribute ``scene_domain``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..utils.config_file import innermost
from ..utils.text import plural, shorten


def shared_scenes(splits: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Scenes that stand in more than one split -> those splits, in the order given."""
    homes: dict[str, list[str]] = defaultdict(list)
    for split, scenes in splits.items():
        for scene in set(scenes):
            homes[scene].append(split)
    return {scene: tuple(places) for scene, places in sorted(homes.items()) if len(places) > 1}


def leak_message(shared: Mapping[str, tuple[str, ...]], source: str) -> str:
    """One line that names the scenes and the fix."""
    shown = shorten(f"{scene} ({' and '.join(places)})" for scene, places in shared.items())
    scenes = plural(len(shared), 'scene')
    return (f'{source}: {scenes} in more than one split: {shown}; keep each scene in one '
            'split, otherwise the test scores memorisation')


def refuse_shared(splits: Mapping[str, Iterable[str]], source: str) -> None:
    """Refuse splits that share a scene.

    Args:
        splits: split -> names of its scenes.
        source: where the splits come from, for the message.

    Raises:
        DataError: a scene stands in two splits.
    """
    shared = shared_scenes(splits)
    if shared:
        raise DataError(leak_message(shared, source))


def scenes_of(dataset: Any) -> dict[str, set[str]]:
    """Domain -> scenes of a data set; empty where its class names no scenes."""
    if not hasattr(dataset, 'scene_names'):
        return {}
    scenes = dataset.scene_names()
    return {getattr(dataset, 'scene_domain', type(dataset).__name__): scenes} if scenes else {}


def shared_by_loaders(config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Scenes that two of the loaders of a config share.

    Args:
        config: with ``train_dataloader``, ``val_dataloader`` and ``test_dataloader``.

    Returns:
        Scene -> loaders (``train``, ``val``, ``test``).  Validation and test data may be the same.
    """
    from ..registry import DATASETS
    by_domain: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in ('train', 'val', 'test'):
        loaders = config.get(f'{name}_dataloader') or {}
        # mmagic tests on several sets by a list of loaders.
        loaders = loaders if isinstance(loaders, (list, tuple)) else [loaders]
        for one in (one for loader in loaders for one in innermost(loader.get('dataset') or {})):
            kind = DATASETS.get(one['type']) if isinstance(one.get('type'), str) else one.get('type')
            if not hasattr(kind, 'scene_names') or not getattr(kind, 'scene_is_stem', True):
                continue
            dataset = DATASETS.build({**one, 'pipeline': [], 'lazy_init': True})
            for domain, scenes in scenes_of(dataset).items():
                by_domain[domain][name] |= scenes
    shared: dict[str, tuple[str, ...]] = {}
    for splits in by_domain.values():
        shared.update({scene: places for scene, places in shared_scenes(splits).items() if 'train' in places})
    return shared


def refuse_leaking_config(config: Mapping[str, Any]) -> None:
    """Refuse a config whose training data share a scene with its validation or test data.

    Raises:
        DataError: they do.
    """
    shared = shared_by_loaders(config)
    if shared:
        name = getattr(config, 'filename', None)
        raise DataError(leak_message(shared, f"'{Path(name).name}'" if name else 'config'))
