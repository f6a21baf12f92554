"""YAML as data.

Fault: mmengine 0.10.7 reads YAML by ``yaml.Loader``, whose tags make any object and call any function: a config
``x.yaml`` with ``!!python/object/apply:os.system`` runs a command when it is read.

Fix: its handler is given a loader that knows plain data, and tuples, which MMEngine itself writes (``Config.dump``).
A caller that names a ``Loader`` still gets that one.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ._post_import import after_import

_TAG = 'tag:yaml.org,2002:python/'
_MOST_NODES = 1_000_000


def _size(node: Any, known: dict[int, int]) -> int:
    """Values in a node where each alias is written out, as MMEngine does it."""
    if id(node) not in known:
        known[id(node)] = 1  # for an alias of itself
        for item in node.value if isinstance(node.value, list) else ():
            known[id(node)] += sum(_size(child, known) for child in (item if isinstance(item, tuple) else (item, )))
    return known[id(node)]


def apply() -> None:
    """Replace the default loader when MMEngine's handler is imported."""
    after_import('mmengine.fileio.handlers.yaml_handler', _replace_loader)


def _replace_loader(module: ModuleType) -> None:
    import yaml

    class DataLoader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
        """PyYAML's safe loader, and tuples; what aliases blow up is refused."""

        def construct_document(self, node: Any) -> Any:
            if _size(node, {}) > _MOST_NODES:
                raise yaml.constructor.ConstructorError(
                    None, None, f'aliases stand for more than {_MOST_NODES} values; write fewer', node.start_mark)
            return super().construct_document(node)

    def refuse(loader: Any, node: Any) -> None:
        tag = node.tag.replace(_TAG, '!!python/')
        raise yaml.constructor.ConstructorError(None, None, f"the tag '{tag}' is refused, as YAML is read as data; "
                                                'write plain values, or a .py config', node.start_mark)

    DataLoader.add_constructor(f'{_TAG}tuple', lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))
    DataLoader.add_constructor(None, refuse)
    module.Loader = DataLoader  # type: ignore[attr-defined]
