"""Failures while MMEngine builds the parts of a config, reported in one line with the key that is wrong.

Everything that a config names is built by ``Registry.build``.  While :func:`config_errors` is active, that method notes
on an error which registry was building which part, so the message asks the registry and the config, not the traceback.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS, Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..errors import INSTALL_HINTS, ConfigError, MissingToolboxError, MMWeatherError, explain
from ..utils.text import did_you_mean, nearest
from .load import check_values, first_line, parameters, signature

_UNKNOWN = re.compile(r"(?:^|')Failed to get ([\w.]+)|^'?\"?([\w.]+) is not in the ")
_UNEXPECTED = re.compile(r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"([\w.<>]+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
_SHOWN = 12
_NOTE = '_mmweather_failed_part'
# Registries whose parts keep a number unread until the training uses it.
_NUMERIC = ('parameter scheduler', 'optimizer', 'optim_wrapper', 'hook')
_NUMBERS = {'int', 'float', 'None', 'NoneType', 'Optional', 'Union', 'typing', 'class'}


class _Part:
    """The innermost part that was being built when an error was raised.

    Args:
        registry: that was asked.
        given: what it was asked to build.
        defaults: what the caller added.
    """

    def __init__(self, registry: Registry, given: Any, defaults: Any) -> None:
        self.registry, self.given = registry, given
        own = dict(given) if isinstance(given, Mapping) else {}
        self.args = {**(dict(defaults) if isinstance(defaults, Mapping) else {}), **own}
        self.kind = self.args.get('type')

    def target(self) -> Any:
        """The class or function to be called, or None if the registry does not know it."""
        if not isinstance(self.kind, str):
            return self.kind if callable(self.kind) else None
        with contextlib.suppress(Exception), self.registry.switch_scope_and_registry(self.args.get('_scope_')) as found:
            return found.get(self.kind)
        return None


@contextlib.contextmanager
def config_errors(config: Config) -> Iterator[None]:
    """Turn mistakes of the config that show when its parts are built into :class:`ConfigError`.

    Whatever a constructor of a part of the config raises is a mistake of the config.  Everything else, such as a fault
    in the forward pass of a network, passes unchanged.

    Args:
        config: where the wrong key is looked up.

    Raises:
        ConfigError: a value of the config cannot work.
        MissingToolboxError: a part needs a package that is not installed.
    """
    check_values(config)
    original = Registry.build
    if hasattr(original, '__wrapped__'):  # within another block
        notes: Any = contextlib.nullcontext()
    else:
        notes = _noting(original, config)
    with notes:
        try:
            yield
        except MMWeatherError:
            raise
        except Exception as error:
            fixed = _explain(error, config)
            if fixed is None:
                raise
            raise fixed from error


@contextlib.contextmanager
def _noting(original: Callable[..., Any], config: Config) -> Iterator[None]:

    @functools.wraps(original)
    def build(self: Registry, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        part = _Part(self, cfg, args[0] if args else kwargs.get('default_args'))
        if self.name in _NUMERIC:
            _check_numbers(part, config)
        try:
            return original(self, cfg, *args, **kwargs)
        except Exception as error:
            if not hasattr(error, _NOTE):
                with contextlib.suppress(AttributeError):
                    setattr(error, _NOTE, part)
            raise

    Registry.build = build
    try:
        yield
    finally:
        Registry.build = original


def _check_numbers(part: _Part, config: Config) -> None:
    """Refuse texts, lists and dicts where the constructor of a part takes a number."""
    target = part.target() if isinstance(part.given, Mapping) else None
    for name, parameter in signature(target).items() if target is not None else ():
        value = part.args.get(name)
        if isinstance(value, (str, list, tuple, Mapping)) and _is_number(parameter):
            where = _locate(config, part.kind, part.args)
            kind = getattr(target, '__name__', str(target))
            raise ConfigError(f"{f'{where}.{name}' if where else name}: {kind} takes a number, got {value!r}")


def _is_number(parameter: inspect.Parameter) -> bool:
    """Whether a parameter's annotation, or its default where there is none, is a number."""
    if parameter.annotation is parameter.empty:
        return isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)
    words = set(re.findall(r'\w+', str(parameter.annotation)))
    return bool(words & {'int', 'float'}) and words <= _NUMBERS


def _explain(error: Exception, config: Config) -> MMWeatherError | None:
    part: _Part | None = getattr(error, _NOTE, None)
    text = first_line(error)
    if isinstance(error, TypeError) and (match := _UNEXPECTED.search(text)):
        found = _unexpected(match.group(1) or '', match.group(2), part, config)
        if found is not None or part is None:
            return found
    if part is None:
        return _unknown_optimizer(config)
    if isinstance(error, (KeyError, RuntimeError)) and (match := _UNKNOWN.search(text)):
        return _unknown_name(match.group(1) or match.group(2), part, config)
    if not isinstance(part.given, Mapping):
        return ConfigError(f"{_place_of_value(config, part.given)}: a {part.registry.name} must be a dict with 'type', "
                           f'got {part.given!r}')
    if part.kind is None:
        return _no_type(part.given, config)
    target = part.target()
    if target is None:
        return _unknown_name(str(part.kind), part, config)
    where, name = _locate(config, part.kind, part.args), getattr(target, '__name__', str(target))
    if isinstance(error, TypeError) and (match := _MISSING.search(text)) and _is_call_of(match.group(1), target):
        first = re.findall(r"'(\w+)'", match.group(2))
        given = [str(key) for key in part.args if key != 'type' and key not in parameters(target)]
        return ConfigError(f'{where or name}: {name} needs {match.group(2)}'
                           + did_you_mean(first[0] if first else '', given, '; add it'))
    missing = explain(error) if isinstance(error, (OSError, ImportError)) else None
    kind = '' if isinstance(error, (ValueError, AssertionError)) and text else f'{type(error).__name__}: '
    return ConfigError(f'{where or name}: {name} refuses its values: {missing or kind + text}{_shown(part, target)}')


def _unknown_optimizer(config: Config) -> MMWeatherError | None:
    """MMEngine looks at the signature of an optimizer before the registry is asked to build it."""
    wrapper = config.get('optim_wrapper')
    for settings in (wrapper, *wrapper.values()) if isinstance(wrapper, dict) else ():
        optimizer = settings.get('optimizer') if isinstance(settings, dict) else None
        if isinstance(optimizer, dict):
            part = _Part(OPTIMIZERS, optimizer, None)
            if isinstance(part.kind, str) and part.target() is None:
                return _unknown_name(part.kind, part, config)
    return None


def _shown(part: _Part, target: Any) -> str:
    """The plain values that were given, to be looked at."""
    plain = [f'{key}={value!r}' for key, value in part.args.items()
             if key in parameters(target) and (value is None or isinstance(value, (bool, int, float, str)))]
    return f' (given {", ".join(plain[:_SHOWN])})' if plain else ''


def _unknown_name(name: str, part: _Part, config: Config) -> MMWeatherError:
    registry = part.registry
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


def _unexpected(function: str, keyword: str, part: _Part | None, config: Config) -> ConfigError | None:
    target: Any = None
    kind = None
    if part is not None and keyword in part.args:
        target, kind = part.target(), part.kind
        if target is not None and keyword in parameters(target):
            return None  # something that it calls refuses it
    elif function.startswith('DataLoader.'):
        target = DataLoader
    elif function.startswith('Runner.'):
        target = getattr(Runner, function.split('.', 1)[1], None)
    if target is None:
        return None
    where = _path_of(config, lambda node: (kind is None or node.get('type') == kind) and keyword in node)
    if where is None:
        return None  # not written in the config: a fault of the program
    name = getattr(target, '__name__', str(target))
    known = [p for p in parameters(target) if p not in ('self', 'args', 'kwargs')]
    shown = ', '.join(known[:_SHOWN]) + (', ...' if len(known) > _SHOWN else '')
    hint = did_you_mean(keyword, known, f'; it takes {shown}')
    return ConfigError(f"{where}: {name} has no parameter '{keyword}'{hint}")


def _is_call_of(function: str, target: Any) -> bool:
    """Whether a message of Python names the constructor of ``target``, not something that it calls."""
    owners = {c.__name__ for c in getattr(target, '__mro__', ())} | {getattr(target, '__name__', '')}
    words = function.split('.')
    return words[-2 if function.endswith('__init__') and len(words) > 1 else -1] in owners


def _locate(config: Config, kind: Any, args: Mapping[str, Any] | None = None) -> str | None:
    """Dotted path of the dict with this ``type``; of several the one whose values are those of ``args``."""
    def same(node: Mapping[str, Any]) -> bool:
        return all(_equal(args.get(key), value) for key, value in node.items()) if args else True

    of_kind = functools.partial(_path_of, config)
    return of_kind(lambda node: node.get('type') == kind and same(node)) or of_kind(
        lambda node: node.get('type') == kind)


def _equal(a: Any, b: Any) -> bool:
    with contextlib.suppress(Exception):  # arrays do not compare to one value
        return bool(a == b)
    return False


def _place_of_value(config: Config, value: Any) -> str:
    """Dotted path of a value that stands where a dict should."""
    for path, node in _walk(_plain(config), ''):
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in children:
            if type(child) is type(value) and child == value:
                return f'{path}.{key}' if path else str(key)
    return 'a part of the config'


def _path_of(config: Config, wanted: Callable[[dict[str, Any]], bool]) -> str | None:
    return next((path for path, node in _walk(_plain(config), '')
                 if path and isinstance(node, dict) and wanted(node)), None)


def _plain(config: Config) -> dict[str, Any]:
    plain = config.to_dict()
    # Variables repeat what stands in the sections, so they come last.
    known = parameters(Runner)
    return {**{key: plain[key] for key in plain if key in known}, **plain}


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Dicts and lists with their dotted paths, the outer ones first."""
    if not isinstance(node, (dict, list, tuple)):
        return
    yield path, node
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _walk(child, f'{path}.{key}' if path else str(key))
