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

# Elements of one block's score matrix.  On a CPU a block should stay in the shared cache while the row operations go
# over it; on a GPU it should be large enough to fill the device.
BLOCK_CPU = 1 << 20
BLOCK_GPU = 1 << 26
# Rows at the fewest, lest the products become products of vectors.
LEAST_ROWS = 64


def block_rows(queries: int, keys: int, device: torch.device) -> int:
    """Queries of one block: memory is constant up to 16 384 keys on a CPU and grows with their number from there."""
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


def _rows(scores: Tensor, threshold: Tensor | None, scale: float) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Softmax, margin and the mask of kept keys of one block (n, M)."""
    if threshold is None:
        return (scores * scale if scale != 1 else scores).softmax(-1), None, None
    margin = (scores - threshold).relu_()
    logits = scores * margin
    if scale != 1:
        logits *= scale
    return logits.softmax(-1), margin, margin > 0


def _blocks(q: Tensor, rows: int) -> Iterator[tuple[int, slice]]:
    for sample in range(q.shape[0]):
        for start in range(0, q.shape[1], rows):
            yield sample, slice(start, start + rows)


class _Blocks(torch.autograd.Function):
    """:func:`full_attention` in blocks of ``rows`` queries; the backward pass computes each block's scores again."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, threshold: Tensor | None, scale: float,
                rows: int) -> Tensor:
        ctx.save_for_backward(q, k, v, threshold)
        ctx.scale, ctx.rows = scale, rows
        out = q.new_empty(*q.shape[:2], v.shape[2], dtype=v.dtype)
        for n, part in _blocks(q, rows):
            limit = None if threshold is None else threshold[n, part]
            weights, _, kept = _rows(_working(q[n, part] @ k[n].t()), limit, scale)
            if kept is not None:
                weights *= kept
            out[n, part] = weights.sub_(FLOOR).relu_().to(v.dtype) @ v[n]
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
            limit = None if threshold is None else threshold[n, part]
            scores = _working(q[n, part] @ k[n].t())
            soft, margin, kept = _rows(scores, limit, ctx.scale)
            weights = (soft - FLOOR if kept is None else (soft * kept).sub_(FLOOR)).relu_()
            d_rows = grad[n, part]
            _add_product(grad_v[n], weights.to(v.dtype).t(), d_rows)
            d_soft = _working(d_rows @ v[n].t())
            d_soft *= weights > 0
            # Backward of softmax: p * (d - sum of p * d); then of the logits s * r and of the threshold.
            d_soft *= soft
            d_logits = d_soft.sub_(soft.mul_(d_soft.sum(-1, keepdim=True)))
            if ctx.scale != 1:
                d_logits *= ctx.scale
            if margin is not None and grad_t is not None:
                d_logits *= kept
                grad_t[n, part] = -torch.einsum('ij,ij->i', d_logits, scores)[:, None]
                d_logits *= margin.add_(scores)
            d_scores = d_logits.to(q.dtype)
            grad_q[n, part] = d_scores @ k[n]
            _add_product(grad_k[n], d_scores.t(), q[n, part])
        grad_v += FLOOR * _working(grad).sum(1, keepdim=True)
        return grad_q, grad_k.to(k.dtype), grad_v.to(v.dtype), grad_t, None, None


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
