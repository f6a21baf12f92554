"""Failures while MMEngine builds the parts of a config, told in one line with the key that is wrong."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry, build_from_cfg
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..errors import INSTALL_HINTS, ConfigError, MissingToolboxError, MMWeatherError
from .config import _first_line, nearest, parameters, suggest

_UNKNOWN = re.compile(r"(?:^|')Failed to get ([\w.]+)|^'?\"?([\w.]+) is not in the ")
_UNEXPECTED = re.compile(r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"([\w.<>]+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
_NO_TYPE = 'must contain the key "type"'
_SHOWN = 12


@contextlib.contextmanager
def config_errors(config: Config) -> Iterator[None]:
    """Turn mistakes of the config that show when its parts are built into :class:`ConfigError`.

    Unknown names, unexpected or missing keywords and refused values are mistakes of the config.  Everything else, such
    as a fault inside a network, passes unchanged, with its traceback.

    Args:
        config: where the wrong key is looked up.
    """
    try:
        yield
    except MMWeatherError:
        raise
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        mended = _explain(error, config)
        if mended is None:
            raise
        raise mended from error


def _explain(error: Exception, config: Config) -> MMWeatherError | None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    builds = [frame for frame in frames if frame.f_code is build_from_cfg.__code__]
    build = builds[-1] if builds else None
    text = _first_line(error)
    if isinstance(error, (KeyError, RuntimeError)) and (match := _UNKNOWN.search(text)):
        return _unknown_name(match.group(1) or match.group(2), frames, config)
    if isinstance(error, KeyError) and _NO_TYPE in text and build is not None:
        return _no_type(build.f_locals['cfg'], config)
    if isinstance(error, TypeError):
        if match := _UNEXPECTED.search(text):
            return _unexpected(match.group(1) or '', match.group(2), frames, build, config)
        if (match := _MISSING.search(text)) and build is not None:
            return _missing(match.group(1), match.group(2), build, config)
        return None
    # A constructor refused a value: its own frame is the last one but for helpers it calls.
    if isinstance(error, (AssertionError, ValueError)) and build is not None and 'obj_cls' in build.f_locals:
        where = _locate(config, _type_of(build))
        name = getattr(build.f_locals['obj_cls'], '__name__', 'the class')
        return ConfigError(f'{where or name}: {name} refuses its values: {text}')
    return None


def _unknown_name(name: str, frames: list[FrameType], config: Config) -> MMWeatherError | None:
    registry = next((f.f_locals['registry'] for f in reversed(frames) if f.f_code is build_from_cfg.__code__), None)
    if registry is None:
        registry = next((f.f_locals['self'] for f in frames if isinstance(f.f_locals.get('self'), Registry)), None)
    if registry is None:
        return None
    scope, _ = Registry.split_scope_key(name)
    if scope in INSTALL_HINTS and find_spec(scope) is None:
        return MissingToolboxError(f"'{name}' needs '{scope}', which is not installed: {INSTALL_HINTS[scope]}")
    candidates = _names(registry, scope)
    where = _locate(config, name)
    short = nearest(name.rsplit('.', 1)[-1], {c.rsplit('.', 1)[-1] for c in candidates})
    alike = next((c for c in candidates if short and c.rsplit('.', 1)[-1] == short), None)
    hint = f"; did you mean '{alike}'?" if alike else '; check the spelling, or import its module by custom_imports'
    place = f'{where}.type: ' if where else ''
    return ConfigError(f"{place}there is no {registry.name} '{name}'" + hint)


def _names(registry: Registry, scope: str | None) -> list[str]:
    """Full names, those of the wanted scope first."""
    root = registry.root
    nodes = [root, *root.children.values()]
    nodes.sort(key=lambda node: (node.scope != scope, node.scope != 'mmweather'))
    names = []
    for node in nodes:
        own = node.names() if hasattr(node, 'names') else sorted(node.module_dict)
        names += [f'{node.scope}.{name}' for name in own]
    return names


def _no_type(cfg: Mapping, config: Config) -> ConfigError:
    where = _path_of(config, lambda node: dict(node) == dict(cfg)) or 'a part of the config'
    return ConfigError(f"{where}: 'type' is missing" + suggest_key('type', cfg))


def suggest_key(wanted: str, cfg: Mapping) -> str:
    """What stands in ``cfg`` in place of ``wanted``, as the end of a sentence."""
    match = nearest(wanted, [str(key) for key in cfg], cutoff=0.5)
    return f"; is it '{match}'?" if match else f'; it has {", ".join(map(str, cfg)) or "no key"}'


def _unexpected(function: str, keyword: str, frames: list[FrameType], build: FrameType | None,
                config: Config) -> ConfigError | None:
    target: Any = None
    kind = None
    if build is not None and keyword in build.f_locals.get('args', {}):
        target, kind = build.f_locals.get('obj_cls'), _type_of(build)
    elif function.startswith('DataLoader.'):
        target = DataLoader
    elif function.startswith('Runner.'):
        target = getattr(Runner, function.split('.', 1)[1], None)
    if target is None:
        return None
    where = _locate(config, kind, keyword)
    if where is None:
        return None  # not written in the config: a fault of the program
    name = getattr(target, '__name__', str(target))
    known = [p for p in parameters(target) if p not in ('self', 'args', 'kwargs')]
    shown = ', '.join(known[:_SHOWN]) + (', ...' if len(known) > _SHOWN else '')
    return ConfigError(f"{where}: {name} has no parameter '{keyword}'" + suggest(keyword, known, f'; it takes {shown}'))


def _missing(function: str, names: str, build: FrameType, config: Config) -> ConfigError | None:
    target = build.f_locals.get('obj_cls')
    owners = {c.__name__ for c in getattr(target, '__mro__', ())} | {getattr(target, '__name__', '')}
    if function.split('.')[-2 if function.endswith('__init__') else -1] not in owners:
        return None
    where = _locate(config, _type_of(build))
    name = getattr(target, '__name__', str(target))
    first = re.findall(r"'(\w+)'", names)
    given = [str(key) for key in build.f_locals['args'] if key not in parameters(target)]
    return ConfigError(f'{where or name}: {name} needs {names}' + suggest(first[0] if first else '', given, '; add it'))


def _type_of(build: FrameType) -> Any:
    return build.f_locals.get('obj_type')


def _locate(config: Config, kind: Any, keyword: str | None = None) -> str | None:
    """Dotted path of the first dict with this ``type`` (any, if None) that has the keyword."""
    return _path_of(config, lambda node: (kind is None or node.get('type') == kind)
                    and (keyword is None or keyword in node))


def _path_of(config: Config, wanted: Any) -> str | None:
    def walk(node: Any, path: str) -> str | None:
        if isinstance(node, dict):
            if path and wanted(node):
                return path
            children = node.items()
        elif isinstance(node, (list, tuple)):
            children = enumerate(node)
        else:
            return None
        for key, value in children:
            found = walk(value, f'{path}.{key}' if path else str(key))
            if found:
                return found
        return None

    plain = config.to_dict()
    # Variables repeat what stands in the sections, so they come last.
    sections = {key: plain[key] for key in plain if key in parameters(Runner)}
    return walk(sections, '') or walk(plain, '')
