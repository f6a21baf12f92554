"""Find tensors with values that are not finite, in networks, optimizers and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# What a checkpoint holds beside weights and optimizers: logged losses may well be NaN.
_NOT_STATE = ('meta', 'message_hub', 'param_schedulers')


def float_tensors(node: Any, prefix: str = '') -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of every floating-point or complex tensor in nested dicts, lists and tuples."""
    if isinstance(node, Tensor):
        if (node.is_floating_point() or node.is_complex()) and node.numel() and not node.is_meta:
            yield prefix, node.detach()
        return
    if isinstance(node, Mapping):
        children: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return
    for key, value in children:
        yield from float_tensors(value, f'{prefix}.{key}' if prefix else str(key))


def _dense(tensor: Tensor) -> Tensor:
    return tensor.detach() if tensor.layout == torch.strided else tensor.detach().coalesce().values()


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the 2-norm of each tensor as one vector, without a wait for the device.

    A norm that is finite shows that the tensor is finite.  The norm of a finite tensor may overflow; see
    :func:`not_finite` for certainty.
    """
    found = list(torch._foreach_norm([_dense(tensor) for tensor in tensors]))
    if len({(norm.device, norm.dtype) for norm in found}) > 1:
        found = [norm.to(found[0].device, torch.float32) for norm in found]
    return torch.stack(found)


def not_finite(named: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity; waits for the device once.

    Args:
        named: pairs of a name and a floating-point or complex tensor.
    """
    names, tensors = [], []
    for name, tensor in named:
        if tensor.numel():
            names.append(name)
            tensors.append(_dense(tensor))
    if not tensors:
        return []
    suspects = [i for i, fine in enumerate(norms(tensors).isfinite().tolist()) if not fine]
    return [names[i] for i in suspects if not bool(tensors[i].isfinite().all())]


def largest(tensors: Iterable[Tensor]) -> float:
    """Return the largest absolute value that is finite; 0 where there is none."""
    found = [torch.where(tensor.isfinite(), tensor, 0).abs().max()
             for tensor in map(_dense, tensors) if tensor.numel()]
    return max((value.item() for value in found), default=0.)


def infinite_by_design(model: nn.Module) -> frozenset[str]:
    """Return the names of the buffers of a new model that are not finite on purpose, such as attention masks."""
    return frozenset(not_finite((name, buffer) for name, buffer in model.named_buffers()
                                if buffer.is_floating_point() and not buffer.is_meta))


def checkpoint_faults(checkpoint: Mapping[str, Any], allowed: Iterable[str] = ()) -> list[str]:
    """Return the dotted names of all weights and optimizer states of a checkpoint that are not finite.

    Args:
        checkpoint: as MMEngine saves it.
        allowed: names of entries of the model that may be infinite; see :func:`infinite_by_design`.
    """
    allowed = tuple(allowed)
    state = {key: value for key, value in checkpoint.items() if key not in _NOT_STATE}
    return [name for name in not_finite(float_tensors(state))
            if not any(name.endswith('.' + each) for each in allowed)]
