"""The models of the package and of plug-ins: reading their metafiles, and building a model by name."""

from __future__ import annotations

import copy
import fnmatch
import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import CheckpointError, ConfigError, MMWeatherError
from ..methods import plugin_methods
from ..utils.text import did_you_mean, one_line

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

STATUSES = ('parity', 'retrained', 'unverified')
# No dot, so that it is never taken for the path of a config.
_ALIAS = re.compile(r'[a-z0-9][a-z0-9_-]*')
_CONFIG_SUFFIXES = ('.py', '.yml', '.yaml', '.json')


@dataclass(frozen=True)
class ModelEntry:
    """One model of a metafile.

    Args:
        name: unique name, as in ``mmweather list``.
        collection: the method it belongs to.
        config: path of its config file.
        status: ``'parity'`` (meets the golden vectors of the published code), ``'retrained'`` (trained here)
            or ``'unverified'``.
        metafile: where the entry stands.
        metadata: free facts, such as parameters and training data.
        results: measured results, each with ``Task``, ``Dataset`` and ``Metrics``.
        weights: address of the weights, or their path below ``root``, or None.
        alias: short name, or None.
        real_photos: what to expect on photos that it was not trained on, in a sentence; empty where nobody looked.
        root: folder that holds ``configs`` and ``weights``.
    """

    name: str
    collection: str
    config: Path
    status: str
    metafile: Path
    metadata: dict[str, Any] = field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()
    weights: str | None = None
    alias: str | None = None
    real_photos: str = ''
    root: Path | None = None

    @property
    def weights_file(self) -> Path | None:
        """The file of weights that comes with the package, or None where there is none."""
        if self.weights is None or '://' in self.weights:
            return None
        root = index_root() if self.root is None else self.root
        file = root / self.weights
        return file if file.is_file() else None


def index_root() -> Path:
    """Return the folder that holds ``configs`` and ``weights``.

    Returns:
        ``mmweather/.mim`` of an installed package, else the root of the working tree.

    Raises:
        ConfigError: neither holds a metafile.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / '.mim', package.parent):
        if _metafiles(folder):
            return folder
    raise ConfigError(f'{package / ".mim"}: no metafile found there; install mmweather (pip install -e . in a '
                      'checkout, or make setup)')


def _metafiles(root: Path) -> list[Path]:
    """Return the metafiles below ``root``; a new folder of configs needs no entry in a list."""
    return sorted(root.glob('configs/*/metafile.yml'))


def load_index(root: str | os.PathLike[str] | None = None) -> dict[str, ModelEntry]:
    """Read every metafile, ``configs/*/metafile.yml``.

    Args:
        root: folder with ``configs``; None for the package's own and those of plug-ins
            (:func:`mmweather.methods.plugin_methods`).

    Returns:
        The entries by name, sorted.

    Raises:
        ConfigError: a file is missing or cannot be read, a key is missing, a config does not exist, or two models
            have one name or alias.
    """
    entries: dict[str, ModelEntry] = {}
    for base in _index_roots() if root is None else (Path(root), ):
        for entry in (entry for path in _metafiles(base) for entry in _read_metafile(path, base)):
            if entry.name in entries:
                raise ConfigError(f"{entry.metafile}: the model name '{entry.name}' is taken by "
                                  f'{entries[entry.name].metafile}; rename one')
            entries[entry.name] = entry
    owners = dict(entries)
    for entry in entries.values():
        if entry.alias is not None and owners.setdefault(entry.alias, entry) is not entry:
            other = owners[entry.alias]
            raise ConfigError(f"{entry.metafile}: the alias '{entry.alias}' of '{entry.name}' is taken by "
                              f"'{other.name}' ({other.metafile}); choose another")
    return dict(sorted(entries.items()))


def _index_roots() -> Iterator[Path]:
    yield index_root()
    for method in plugin_methods().values():
        folder = method.index_root()
        if folder is not None:
            yield folder


def list_models(pattern: str | None = None) -> list[str]:
    """Names of the shipped models.

    Args:
        pattern: shell pattern of the name or the alias, case-insensitive, e.g. ``'nitedr*'``; all names if None.

    Returns:
        The names, sorted; empty where none matches.

    Raises:
        ConfigError: see :func:`load_index`.
    """
    wanted = '*' if pattern is None else pattern.lower()
    return [name for name, entry in load_index().items()
            if any(fnmatch.fnmatchcase(word.lower(), wanted) for word in (name, entry.alias) if word)]


def find_entry(name: str) -> ModelEntry:
    """The entry of the model whose name or alias is ``name``.

    Raises:
        ConfigError: there is no such model; the message names the nearest ones.
    """
    entries = load_index()
    if name in entries:
        return entries[name]
    aliases = {entry.alias: entry for entry in entries.values() if entry.alias is not None}
    if name in aliases:
        return aliases[name]
    guess = did_you_mean(name, [*entries, *aliases], count=3, cutoff=0.4)
    raise ConfigError(f"no model is called '{name}'{guess}; `mmweather list` shows all")


def entry_of(name_or_config: str | os.PathLike[str] | Config) -> ModelEntry | None:
    """The entry that a name, an alias, the path of a shipped config or a config read from there belongs to.

    Returns:
        The entry; None for configs that the package does not ship.

    Raises:
        ConfigError: it is no path, and no model has the name.
    """
    source = getattr(name_or_config, 'filename', name_or_config)
    if source is None:
        return None
    path = Path(os.fspath(source))
    if path.suffix not in _CONFIG_SUFFIXES:
        return find_entry(os.fspath(source))
    return next((entry for entry in load_index().values() if entry.config.resolve() == path.resolve()), None)


def shipped_weights(name_or_config: str | os.PathLike[str] | Config) -> Path:
    """The weights that the package ships for a model; arguments as in :func:`get_model`.

    Raises:
        ConfigError: there is no such model.
        CheckpointError: no weights are shipped for it.
    """
    entry = entry_of(name_or_config)
    file = None if entry is None else entry.weights_file
    if file is not None:
        return file
    known = [item.alias or item.name for item in load_index().values() if item.weights_file]
    remedy = f"take a model that has some ({', '.join(known[:8])})" if known else 'train the model (tools/train.py)'
    if entry is None:
        name = getattr(name_or_config, 'filename', name_or_config) or 'the given config'
        raise CheckpointError(f'{name}: no weights are shipped for it; give a checkpoint (--checkpoint FILE), or '
                              f'{remedy}')
    if entry.weights is not None and '://' in entry.weights:
        raise CheckpointError(f"the weights of '{entry.name}' are not shipped; download {entry.weights} and give "
                              'the file (--checkpoint FILE)')
    if entry.weights is not None:
        raise CheckpointError(f"'{entry.weights}', the weights of '{entry.name}', is missing; reinstall mmweather, or "
                              'give a checkpoint (--checkpoint FILE)')
    raise CheckpointError(f"no weights are shipped for '{entry.name}'; give a checkpoint (--checkpoint FILE), or "
                          f'{remedy}')


def load_config(name_or_config: str | os.PathLike[str] | Config) -> Config:
    """The config of a shipped model or of a config file.

    Args:
        name_or_config: a name from :func:`list_models`, the path of a config file, or a config, which is copied.

    Raises:
        ConfigError: the name is unknown, the file does not exist or is no config, or there is no ``model`` in it.
    """
    from mmengine.config import Config

    if isinstance(name_or_config, Config):
        source, config = 'the given config', name_or_config.copy()
    else:
        if not isinstance(name_or_config, (str, os.PathLike)):
            raise ConfigError(f'model: give a name, a config or its file, got {name_or_config!r:.60}')
        source = os.fspath(name_or_config)
        path = Path(source)
        if path.suffix not in _CONFIG_SUFFIXES:
            path = find_entry(source).config
        elif not path.is_file():
            raise ConfigError(f'{path}: no such config file; give a path or a name from `mmweather list`')
        from ..utils.config_file import read_config
        try:
            config = read_config(path)
        except MMWeatherError:
            raise
        except Exception as error:  # a config is code, so anything may be raised
            from ..config.load import refuse_cycle

            refuse_cycle(path, error)
            reason = one_line(error)
            raise ConfigError(f'{path}: cannot be read as a config: {reason}') from error
    if not isinstance(config.get('model'), dict):
        raise ConfigError(f"{source}: has no 'model' of type dict; is it a part of a config (configs/_base_)?")
    return config


def get_model(name_or_config: str | os.PathLike[str] | Config,
              checkpoint: str | os.PathLike[str] | None = None,
              device: str | torch.device | None = None) -> torch.nn.Module:
    """Build a model, load a checkpoint and put it in eval mode.

    Args:
        name_or_config: a name from :func:`list_models` or an alias, the path of a config file, or a config.
        checkpoint: file or address of the weights, read without running code from it and loaded strictly;
            ``'shipped'`` for those that come with the package. Without it the weights are random. Half precision
            becomes the precision of the parameters.
        device: where the model goes; the CPU if None.

    Returns:
        The built ``cfg.model`` in eval mode. As mmdet and mmseg do, it carries its config as ``cfg`` and, if the
        checkpoint tells classes and colours, these as ``dataset_meta``.

    Raises:
        ConfigError: see :func:`load_config`; or ``model`` holds an unknown name, a wrong keyword or a refused value.
        CheckpointError: the checkpoint belongs to another network, is broken or holds code, or none is shipped.
        MissingToolboxError: the model needs a toolbox that is not installed.
    """
    config = load_config(name_or_config)
    if checkpoint == 'shipped':
        checkpoint = shipped_weights(name_or_config)
    from mmengine.registry import DefaultScope

    from ..config.explain import config_errors
    from ..registry import MODELS

    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmweather'), config_errors(config):
        model = MODELS.build(config.model)
    if checkpoint is not None:
        from ..utils.checkpoint import (
            checkpoint_file,
            load_checkpoint,
            load_into,
            read_metadata,
            training_parts,
            unwrap_state_dict,
        )

        source, path = os.fspath(checkpoint), checkpoint_file(checkpoint)
        content = load_checkpoint(source)
        state = unwrap_state_dict(content)
        if path.suffix == '.safetensors':
            parts = training_parts(model, read_metadata(path).get('left_out'), source)
            state = {key: value for key, value in model.state_dict().items() if key.startswith(parts)} | state
        load_into(model, state, source, strict=True)
        meta = content.get('meta')
        if isinstance(meta, Mapping) and isinstance(meta.get('dataset_meta'), Mapping):
            model.dataset_meta = dict(meta['dataset_meta'])
    model.cfg = config
    if device is not None:
        model = model.to(device)
    return model.eval()


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        stat = path.stat()
        # Parsed once for each version of the file: one command asks for the index several times.
        content = copy.deepcopy(_parse_yaml(path, stat.st_mtime_ns, stat.st_size))
    except FileNotFoundError:
        raise ConfigError(f'{path}: file not found') from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: must hold a YAML mapping')
    return content


@functools.lru_cache(maxsize=64)
def _parse_yaml(path: Path, mtime: int, size: int) -> Any:
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def _read_metafile(path: Path, base: Path) -> list[ModelEntry]:
    content = _read_yaml(path)
    models = content.get('Models')
    if not isinstance(models, list):
        raise ConfigError(f"{path}: 'Models' must be a list")
    collections = {item.get('Name') for item in content.get('Collections') or [] if isinstance(item, dict)}
    return [_entry(item, number, path, base, collections) for number, item in enumerate(models)]


def _entry(item: Any, number: int, path: Path, base: Path, collections: set[Any]) -> ModelEntry:
    where = f'{path}: Models[{number}]'
    if not isinstance(item, dict):
        raise ConfigError(f'{where}: must be a mapping')
    for key in ('Name', 'In Collection', 'Config'):
        if not isinstance(item.get(key), str):
            raise ConfigError(f"{where}: '{key}' is missing or no text")
    where = f"{path}: model '{item['Name']}'"
    if item['In Collection'] not in collections:
        raise ConfigError(f"{where}: the collection '{item['In Collection']}' is not among 'Collections'")
    config = base / item['Config']
    if not config.is_file():
        raise ConfigError(f"{where}: its config {item['Config']} does not exist")
    status = item.get('Status', 'unverified')
    if status not in STATUSES:
        raise ConfigError(f"{where}: 'Status' is '{status}'; it must be one of {', '.join(STATUSES)}")
    weights = item.get('Weights')
    weights = weights[0] if isinstance(weights, list) and weights else weights or None
    if weights is not None and (not isinstance(weights, str) or weights.startswith('/') or '..' in weights.split('/')):
        raise ConfigError(f"{where}: 'Weights' is {weights!r}; give an address, or a path below the folder that holds "
                          'configs')
    alias = item.get('Alias')
    if alias is not None and (not isinstance(alias, str) or not _ALIAS.fullmatch(alias)):
        raise ConfigError(f"{where}: 'Alias' is {alias!r}; give a short name of small letters, digits and hyphens")
    real_photos = item.get('On Real Photos', '')
    if not isinstance(real_photos, str) or '\n' in real_photos.strip():
        raise ConfigError(f"{where}: 'On Real Photos' is {real_photos!r}; give one line of text")
    return ModelEntry(
        name=item['Name'],
        collection=item['In Collection'],
        config=config,
        status=status,
        metafile=path,
        metadata=item.get('Metadata') or {},
        results=tuple(item.get('Results') or ()),
        weights=weights,
        alias=alias,
        real_photos=real_photos,
        root=base)
