"""The methods: what each room of :mod:`mmweather.models` and each installed plug-in says of itself.

A room's ``__init__`` holds one :class:`Method` called ``METHOD``. The registry, the state-dict adapters, the model
index, the commands and the web page read these records, so a new method edits no shared file. A method in another
package announces its record by an entry point of the group :data:`GROUP`::

    [project.entry-points.'mmweather.methods']
    my_method = 'my_package:METHOD'

Importing this module and the records loads neither torch nor a toolbox.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .inputs import IMAGE, Input
from .utils.text import one_line

GROUP = 'mmweather.methods'
TASKS = ('restore', 'detect', 'segment')
#: Keywords of :class:`mmweather.Inferencer` and options of the commands, which an input cannot have as its name.
RESERVED = frozenset((
    'bands', 'batch_size', 'checkpoint', 'compare', 'device', 'draw', 'dtype', 'help', 'input', 'inputs', 'keep',
    'max_frames', 'max_pixels', 'model', 'nodata', 'offset', 'out', 'out_dir', 'overlap', 'overwrite', 'plan', 'report',
    'scale', 'scene_options', 'score_thr', 'self', 'show_progress', 'thermal_range', 'tile',
    'vh_floor'))


def _call(network: Any, *inputs: Any) -> Any:
    return network(*inputs)


@dataclass(frozen=True)
class Adapter:
    """A published network and ours.

    Args:
        build: (published state dict, constructor arguments that override what the shapes show) to our network, not
            loaded yet, and the state dict under our keys.
        to_published: state dict of our network to the published keys; None where there is no way back.
        call: runs our network on the published inputs and gives the published outputs.
    """

    build: Callable[..., tuple[Any, Mapping[str, Any]]]
    to_published: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    call: Callable[..., Any] = _call


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        name: short name, as in the names of its published networks: ``'nitedr'``.
        title: name in its paper; also the name of its collection in the metafile.
        purpose: what it does, in one line.
        package: dotted name of the package with its modules.
        tasks: of :data:`TASKS`, what its models do.
        inputs: what its models take, the image first.
        registered: registry (as in ``MODELS.name``) -> module -> names that the module registers there. A module that
            begins with a dot is relative to ``package``.
        adapters: module with ``NETWORKS``, name of a published network -> :class:`Adapter`, relative to ``package``;
            None where nothing is published.
        baseline: name of the config that stands for the method, with the paper's schedule.
        index: folder of ``package`` with ``configs/<name>/metafile.yml`` and weights; None for methods of this package,
            which share one folder.
    """

    name: str
    title: str
    purpose: str
    package: str
    tasks: tuple[str, ...]
    inputs: tuple[Input, ...] = (IMAGE, )
    registered: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    adapters: str | None = None
    baseline: str | None = None
    index: str | None = None

    def module(self, name: str) -> str:
        """Return the absolute name of a module that a record names."""
        return f'{self.package}{name}' if name.startswith('.') else name

    def catalogue(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return ``registered`` with absolute names of modules."""
        return {registry: {self.module(module): tuple(names) for module, names in modules.items()}
                for registry, modules in self.registered.items()}

    def index_root(self) -> Path | None:
        """Return the folder of the method's own configs, or None where it has none."""
        if self.index is None:
            return None
        return Path(str(importlib.import_module(self.package).__file__)).parent / self.index


@functools.cache
def own_methods() -> dict[str, Method]:
    """Return the methods of this package by name, sorted."""
    models = importlib.import_module('mmweather.models')
    rooms = (importlib.import_module(f'mmweather.models.{item.name}')
             for item in pkgutil.iter_modules(models.__path__) if item.ispkg)
    return {method.name: method for method in (getattr(room, 'METHOD', None) for room in rooms) if method is not None}


@functools.cache
def plugin_methods() -> dict[str, Method]:
    """Return the methods of other installed packages by name, sorted.

    A record that cannot be loaded is left out with a warning of one line, so a broken plug-in breaks nothing else.
    """
    from importlib.metadata import entry_points

    found: dict[str, Method] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda item: item.name):
        try:
            method = entry.load()
            _check(method, found)
        except Exception as error:  # a plug-in is foreign code
            reason = one_line(error)
            warnings.warn(f"the method '{entry.name}' ({entry.value}) is left out: {reason}", stacklevel=2)
        else:
            found[method.name] = method
    return found


def methods() -> dict[str, Method]:
    """Return all methods by name: those of this package, then those of plug-ins."""
    return {**own_methods(), **plugin_methods()}


def inputs(task: str | None = None) -> dict[str, Input]:
    """Return the kinds of input by name, the image first.

    Args:
        task: only those of methods with this task; None for all.
    """
    found = {IMAGE.name: IMAGE}
    for method in methods().values():
        for item in method.inputs if task is None or task in method.tasks else ():
            found.setdefault(item.name, item)
    return found


def input_of(name: str) -> Input:
    """Return the kind of input of that name; where no method has it, colour images."""
    return inputs().get(name) or Input(name, name.capitalize(), 'colour images')


def _check(method: object, found: Mapping[str, Method]) -> None:
    if not isinstance(method, Method):
        raise ConfigError(f'is {type(method).__name__}, not a mmweather.methods.Method')
    if method.name in own_methods() or method.name in found:
        raise ConfigError(f"the name '{method.name}' is taken")
    unknown = set(method.tasks) - set(TASKS)
    if unknown or not method.tasks:
        raise ConfigError(f"tasks must be of {', '.join(TASKS)}, got {', '.join(method.tasks) or 'none'}")
    for item in method.inputs:
        if item.name in RESERVED:
            raise ConfigError(f"the input name '{item.name}' is an option of the commands; rename the input")
