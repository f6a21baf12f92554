"""Import mmagic 1.2.0 without the packages that its other tasks need.

Fault: ``mmagic.models.editors``, ``mmagic.models.archs`` and a few more packages import every method at once, some
of which need one old version of diffusers or transformers; without diffusers ``mmagic.models.archs`` even fails
on unpacking ``None``.  So no mmagic name can be used at all, Restormer included.

Fix: the ``__init__`` of these collecting packages runs statement by statement.  A statement whose optional package
is missing or unusable is skipped and noted; a skipped name, when asked for as an attribute of its package or
through a registry of mmagic, raises :class:`~mmweather.errors.MissingToolboxError` that tells what was missing.
Where every import works, the effect is that of the plain import.

What the import of mmagic's models, datasets, evaluation, engine and visualization needs, tried by hiding one package
at a time: click, imageio and requests, or it fails; einops, or Restormer is skipped; scipy and tqdm, or the generative
models and metrics are.  mmengine, mmcv, torch, torchvision, NumPy and OpenCV go without saying.  Of what mmagic
declares these are not needed: albumentations, av, controlnet-aux, diffusers, face-alignment, facexlib, lmdb,
lpips, mediapipe, pandas, resize-right, tensorboard, transformers.  ``mmagic.apis`` is left as it is.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from ..errors import MissingToolboxError
from ..utils.text import one_line
from ._post_import import Execute, after_import, wrap_execution

COLLECTING_PACKAGES = (
    'mmagic.models.archs',
    'mmagic.models.editors',
    'mmagic.models.losses',
    'mmagic.models.diffusion_schedulers',
    'mmagic.datasets.transforms',
    'mmagic.evaluation',
    'mmagic.evaluation.metrics',
    'mmagic.evaluation.functional',
)

# A fault in one of these concerns every method, so it must not be hidden.
_CORE = frozenset(('mmagic', 'mmengine', 'mmcv', 'numpy', 'torch', 'torchvision', 'cv2'))
# The newest set that mmagic 1.2.0 was seen to work with.
_PINS = {
    'diffusers': "'diffusers==0.24.0' 'transformers==4.41.2' 'huggingface_hub==0.25.2'",
    'transformers': "'diffusers==0.24.0' 'transformers==4.41.2' 'huggingface_hub==0.25.2'",
}
# What mmagic registers from diffusers under diffusers' own names.
_DIFFUSERS_NAME = re.compile(r'\w+(Scheduler|Pipeline)$|AutoencoderKL$|UNet\w*Model$|ControlNetModel$')

_skipped: dict[str, str] = {}
_no_diffusers: list[str] = []


def skipped() -> dict[str, str]:
    """Names that could not be imported so far -> the one-line reason."""
    return dict(_skipped)


def apply() -> None:
    """Watch for the import of mmagic's collecting packages and of its registries."""
    for name in COLLECTING_PACKAGES:
        wrap_execution(name, _execute_tolerantly)
    after_import('mmagic.models', _tell_of_editors)
    after_import('mmagic.registry', _fix_registries)


def _execute_tolerantly(package: ModuleType, execute: Execute) -> None:
    """Run the ``__init__`` of ``package`` one statement at a time; skip what lacks an optional package."""
    tree = ast.parse(Path(package.__file__).read_text(encoding='utf-8'), filename=package.__file__)
    package.__doc__ = ast.get_docstring(tree, clean=False)
    missing: dict[str, str] = {}
    for node in tree.body:
        for part, error, culprit in _failures(package, node):
            for name in _bound_names(part):
                missing[name] = _reason(name, culprit, error)
            _note_registered_names(package, part, culprit, error)
        if _registers_diffusers(node) and not _installed('diffusers'):
            _no_diffusers.append('diffusers')
    if not missing:
        return
    _skipped.update(missing)
    if '__all__' in vars(package):
        package.__all__ = [name for name in package.__all__ if name not in missing]
    package.__getattr__ = _teller(package, missing, vars(package).get('__getattr__'))


def _failures(package: ModuleType, node: ast.stmt) -> Iterator[tuple[ast.stmt, Exception, str]]:
    """Run ``node``; yield what of it failed, with the error and the optional package at fault."""
    try:
        with warnings.catch_warnings():
            # mmagic warns of the missing diffusers on every import; the reason is kept for who asks.
            warnings.filterwarnings('ignore', message='Diffusion (Models|Schedulers) are not registered')
            code = compile(ast.Module([node], type_ignores=[]), package.__file__, 'exec', dont_inherit=True)
            exec(code, vars(package))
    except Exception as error:
        culprit = _culprit(package, node, error)
        if culprit is None:
            raise
        if _is_imported(package, node) and len(node.names) > 1:
            # The module is there and only some of its names are not.
            for alias in node.names:
                single = ast.ImportFrom(node.module, [alias], node.level)
                yield from _failures(package, ast.copy_location(single, node))
        else:
            yield node, error, culprit


def _is_imported(package: ModuleType, node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and f'{package.__name__}.{node.module}' in sys.modules


def _registers_diffusers(node: ast.stmt) -> bool:
    """Whether the statement is mmagic's ``REGISTERED_... = register_diffusers_...()``."""
    value = getattr(node, 'value', None)
    return (isinstance(node, ast.Assign) and isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
            and value.func.id.startswith('register_diffusers'))


def _culprit(package: ModuleType, node: ast.stmt, error: Exception) -> str | None:
    """The optional package on which the statement failed; None if the fault must be raised."""
    if _registers_diffusers(node):
        _no_diffusers.append('diffusers')
        return 'diffusers'
    if not (isinstance(node, ast.ImportFrom) and node.level == 1):
        return None
    if isinstance(error, MissingToolboxError):
        found = re.search(r"needs '(\w+)'", str(error))
        return found.group(1) if found else None
    if isinstance(error, ImportError) and error.name:
        culprit = error.name.split('.')[0]
    else:
        culprit = _first_foreign_package(error, own=package.__name__.split('.')[0])
    return None if culprit in _CORE or culprit == '' else culprit


def _first_foreign_package(error: Exception, own: str) -> str:
    """The first package outside ``own`` on the way to ``error`` ('' if ``own`` itself raised it)."""
    trace = error.__traceback__
    while trace is not None:
        package = trace.tb_frame.f_globals.get('__name__', '').split('.')[0]
        if package not in (own, 'mmweather', 'importlib', '_frozen_importlib', '_frozen_importlib_external'):
            return package
        trace = trace.tb_next
    return ''


def _bound_names(node: ast.stmt) -> Iterator[str]:
    """The names that the statement would have bound."""
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (leaf.id for leaf in ast.walk(target) if isinstance(leaf, ast.Name))


def _note_registered_names(package: ModuleType, node: ast.stmt, culprit: str, error: Exception) -> None:
    """Note what the skipped modules would have registered, read from their decorators."""
    if not isinstance(node, ast.ImportFrom) or node.module is None or _is_imported(package, node):
        return
    start = Path(package.__file__).parent.joinpath(*node.module.split('.'))
    files = sorted(start.glob('*.py')) if start.is_dir() else [start.with_suffix('.py')]
    for file in files:
        for definition in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if not isinstance(definition, (ast.ClassDef, ast.FunctionDef)):
                continue
            for decorator in definition.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, 'attr', '') == 'register_module':
                    name = _registered_name(decorator, definition.name)
                    _skipped[name] = _reason(name, culprit, error)


def _registered_name(decorator: ast.Call, default: str) -> str:
    given = [*decorator.args, *(item.value for item in decorator.keywords if item.arg == 'name')]
    return given[0].value if given and isinstance(given[0], ast.Constant) else default


def _reason(name: str, culprit: str, error: Exception | None) -> str:
    """One line: the name, what it lacks, the fix."""
    hint = f'pip install {_PINS.get(culprit, culprit)}'
    if _installed(culprit):
        detail = one_line(error)
        return f"'mmagic.{name}' needs '{culprit}' in a version that mmagic 1.2.0 can use ({detail}): {hint}"
    return f"'mmagic.{name}' needs '{culprit}', which is not installed: {hint}"


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module put into sys.modules by hand has no spec
        return sys.modules.get(package) is not None


def _teller(package: ModuleType, missing: dict[str, str],
            inner: Callable[[str], Any] | None) -> Callable[[str], Any]:
    """A module ``__getattr__`` that tells why a skipped name is absent."""

    def __getattr__(name: str) -> Any:
        if name in missing:
            raise MissingToolboxError(missing[name])
        if inner is not None:
            return inner(name)
        raise AttributeError(f'module {package.__name__!r} has no attribute {name!r}')

    return __getattr__


def _tell_of_editors(models: ModuleType) -> None:
    """``mmagic.models`` offers the names of its editors and losses too."""
    if '__getattr__' not in vars(models):
        models.__getattr__ = _teller(models, _skipped, None)


def _fix_registries(module: ModuleType) -> None:
    """Let mmagic's registries tell why a skipped name is absent."""
    from mmengine.registry import Registry

    for registry in vars(module).values():
        if type(registry) is Registry and registry.scope == 'mmagic':
            registry.__class__ = _telling(Registry)


_telling_class: list[type] = []


def _telling(base: type) -> type:
    """The subclass of mmengine's Registry, made when mmengine is there."""
    if not _telling_class:

        class TellingRegistry(base):  # type: ignore[misc,valid-type]
            """A registry that knows the names it lacks."""

            def get(self, key: str) -> Any:
                scope, name = self.split_scope_key(key)
                if scope in (None, self.scope):
                    self.import_from_location()
                    if name not in self._module_dict:
                        self._tell(name)
                return super().get(key)

            def __contains__(self, key: str) -> bool:
                try:
                    return super().__contains__(key)
                except MissingToolboxError:
                    return False

            def _tell(self, name: str) -> None:
                if name in _skipped:
                    raise MissingToolboxError(_skipped[name])
                if _no_diffusers and _DIFFUSERS_NAME.match(name):
                    raise MissingToolboxError(_reason(name, 'diffusers', ImportError('it could not be registered')))

        _telling_class.append(TellingRegistry)
    return _telling_class[0]
