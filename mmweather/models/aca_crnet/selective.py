"""Attention that drops the keys which score below a threshold of the query, in blocks of queries.

For a query q_i, keys k_j and values v_j, with the query's threshold t_i::

    s_ij = q_i . k_j
    r_ij = max(s_ij - t_i, 0)
    p_ij = softmax over j of (scale * s_ij * r_ij)
    a_ij = max(p_ij where r_ij > 0 else 0, 1e-8)
    o_i  = sum over j of a_ij v_j

Everything about a query is known from its own row, so rows can be computed in blocks without changing a number.
The floor depends on the finished softmax: streaming the keys as well would take every score twice, so a row is kept
whole, and a block is a few rows of all keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

FLOOR = 1e-8

# Elements of one block's score matrix.  A block has many rows for the sake of its matrix products; on a GPU it should
# be large enough to fill the device.
BLOCK_CPU = 1 << 22
BLOCK_GPU = 1 << 26
# Rows at the fewest: products of fewer read the keys too often.
LEAST_ROWS = 128
# On a CPU the row operations go over pieces of a block that stay in a core's own cache.
STRIP_CPU = 1 << 16


def block_rows(queries: int, keys: int, device: torch.device) -> int:
    """Queries of one block: memory is constant up to 32 768 keys on a CPU and grows with their number from there."""
    budget = BLOCK_CPU if device.type == 'cpu' else BLOCK_GPU
    return max(1, min(queries, max(budget // max(keys, 1), LEAST_ROWS)))


def _working(x: Tensor) -> Tensor:
    """Scores in float32 at least: 1e-8 is zero in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_attention(q: Tensor, k: Tensor, v: Tensor, threshold: Tensor | None, scale: float = 1.0) -> Tensor:
    """The formula of this module in plain operations on the whole score matrix.

    Args:
        q: queries, (B, N, D).
        k: keys, (B, M, D).
        v: values, (B, M, E).
        threshold: (B, N, 1); None keeps every key and takes the softmax of the bare scores.
        scale: factor of the logits.

    Returns:
        (B, N, E).
    """
    return _accumulate(attention_map(q, k, threshold, scale), v)


def attention_map(q: Tensor, k: Tensor, threshold: Tensor | None, scale: float = 1.0) -> Tensor:
    """The weights a_ij of :func:`full_attention` minus the floor, (B, N, M)."""
    scores = _working(q @ k.mT)
    if threshold is None:
        return (scores * scale).softmax(-1).sub(FLOOR).relu()
    margin = (scores - threshold).relu()
    return ((scores * margin * scale).softmax(-1) * (margin > 0)).sub(FLOOR).relu()


def _accumulate(weights: Tensor, v: Tensor) -> Tensor:
    """Values weighted; the floor, common to all, is taken once for all queries."""
    return (weights.to(v.dtype) @ v + (FLOOR * _working(v).sum(-2, keepdim=True)).to(v.dtype))


def _blocks(q: Tensor, rows: int) -> Iterator[tuple[int, slice]]:
    for sample in range(q.shape[0]):
        for start in range(0, q.shape[1], rows):
            yield sample, slice(start, start + rows)


def _strips(threshold: Tensor | None, *blocks: Tensor) -> Iterator[tuple[Tensor | None, ...]]:
    """Views of a few rows of the threshold and of each matrix of a block."""
    rows, keys = blocks[0].shape
    step = max(1, STRIP_CPU // keys) if blocks[0].device.type == 'cpu' else rows
    for start in range(0, rows, step):
        yield tuple(None if x is None else x[start:start + step] for x in (threshold, *blocks))


def _softmax(scores: Tensor, threshold: Tensor | None, scale: float) -> tuple[Tensor, Tensor | None]:
    """Softmax of a strip (n, M) and the margins by which its scores lie above the threshold."""
    if threshold is None:
        return (scores * scale if scale != 1 else scores).softmax(-1), None
    margin = (scores - threshold).relu_()
    logits = scores * margin
    if scale != 1:
        logits *= scale
    return logits.softmax(-1), margin


class _Blocks(torch.autograd.Function):
    """:func:`full_attention` in blocks of ``rows`` queries; the backward pass computes each block's scores again."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, threshold: Tensor | None, scale: float,
                rows: int) -> Tensor:
        ctx.save_for_backward(q, k, v, threshold)
        ctx.scale, ctx.rows = scale, rows
        out = q.new_empty(*q.shape[:2], v.shape[2], dtype=v.dtype)
        for n, part in _blocks(q, rows):
            block = _working(q[n, part] @ k[n].t())
            for limit, scores in _strips(None if threshold is None else threshold[n, part], block):
                soft, margin = _softmax(scores, limit, scale)
                if margin is not None:
                    soft *= margin.sign_()  # in floats: products with a mask of booleans are many times slower
                torch.sub(soft, FLOOR, out=scores).relu_()
            out[n, part] = block.to(v.dtype) @ v[n]
        return out.add_((FLOOR * _working(v).sum(1, keepdim=True)).to(v.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, threshold = ctx.saved_tensors
        grad_q = torch.empty_like(q)
        # Sums over the blocks, so not in half precision.
        grad_k, grad_v = torch.zeros_like(_working(k)), torch.zeros_like(_working(v))
        grad_t = None if threshold is None else torch.empty_like(threshold)
        for n, part in _blocks(q, ctx.rows):
            d_out = grad[n, part]
            # Scores and gradient of the weights; each strip leaves its weights and the gradient of its scores there.
            weights, d_scores = _working(q[n, part] @ k[n].t()), _working(d_out @ v[n].t())
            limit = None if threshold is None else threshold[n, part]
            d_limit = [_backward_of_strip(*strip, ctx.scale) for strip in _strips(limit, weights, d_scores)]
            if grad_t is not None:
                grad_t[n, part] = torch.cat(d_limit)
            _add_product(grad_v[n], weights.to(v.dtype).t(), d_out)
            d_scores = d_scores.to(q.dtype)
            grad_q[n, part] = d_scores @ k[n]
            _add_product(grad_k[n], d_scores.t(), q[n, part])
        grad_v += FLOOR * _working(grad).sum(1, keepdim=True)
        return grad_q, grad_k.to(k.dtype), grad_v.to(v.dtype), grad_t, None, None


def _backward_of_strip(threshold: Tensor | None, scores: Tensor, grad: Tensor, scale: float) -> Tensor | None:
    """Scores to weights and gradient of the weights to that of the scores, in place; gives that of the threshold."""
    soft, margin = _softmax(scores, threshold, scale)
    kept = None if margin is None else margin.sign()
    weights = (soft - FLOOR if kept is None else (soft * kept).sub_(FLOOR)).relu_()
    grad *= weights.sign()
    # Backward of softmax: p * (d - sum of p * d); then of the logits s * r and of the threshold.
    grad *= soft
    grad -= soft.mul_(grad.sum(-1, keepdim=True))
    if scale != 1:
        grad *= scale
    d_threshold = None
    if margin is not None:
        grad *= kept
        d_threshold = -torch.linalg.vecdot(grad, scores)[:, None]
        grad *= margin.add_(scores)
    scores.copy_(weights)
    return d_threshold


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def block_attention(q: Tensor, k: Tensor, v: Tensor, threshold: Tensor | None, scale: float = 1.0,
                    rows: int | None = None) -> Tensor:
    """:func:`full_attention` in blocks: the same numbers, memory linear in the number of positions.

    The gradient is exact too; a second derivative is not available.

    Args:
        q: see :func:`full_attention`, as ``k``, ``v``, ``threshold`` and ``scale``.
        rows: queries of a block; by default :func:`block_rows`.
    """
    rows = rows or block_rows(q.shape[1], k.shape[1], q.device)
    # Autocast would turn the products inside to half precision one by one; the caller has chosen the types.
    with torch.autocast(q.device.type, enabled=False):
        return _Blocks.apply(q, k, v, threshold, scale, rows)
