"""The attention against its formula written position by position, whole and in blocks, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmweather.models.aca_crnet import attention as module
from mmweather.models.aca_crnet import selective
from mmweather.models.aca_crnet.attention import AttentiveContextualAttention
from mmweather.models.aca_crnet.selective import block_attention, block_rows, full_attention


def by_hand(q: Tensor, k: Tensor, v: Tensor, threshold: Tensor | None, scale: float) -> Tensor:
    """One sample, one query after another."""
    rows = []
    for i in range(len(q)):
        s = (k * q[i]).sum(1)
        if threshold is None:
            weights = torch.softmax(scale * s, 0)
        else:
            r = torch.clamp(s - threshold[i], min=0)
            weights = torch.softmax(scale * s * r, 0) * (r != 0)
        rows.append((torch.clamp(weights, min=1e-8)[:, None] * v).sum(0))
    return torch.stack(rows)


def sample(batch: int, queries: int, keys: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(queries * 100 + keys)
    shapes = ((batch, queries, 5), (batch, keys, 5), (batch, keys, 3), (batch, queries, 1))
    q, k, v, t = (torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for shape in shapes)
    return [q, k, v, 0.3 * t]


@pytest.mark.parametrize('queries,keys,rows', [(1, 1, 1), (7, 7, 3), (13, 4, 5), (6, 11, 64)])
@pytest.mark.parametrize('selection', [True, False])
@pytest.mark.parametrize('scale', [1.0, 10.0])
def test_both_ways_are_the_formula_with_its_gradient(queries, keys, rows, selection, scale):
    inputs = sample(2, queries, keys)
    probe = torch.randn(2, queries, 3, dtype=torch.float64)

    def run(function):
        leaves = [x.clone().requires_grad_() for x in inputs]
        used = leaves if selection else [*leaves[:3], None]
        out = function(*used)
        (out * probe).sum().backward()
        return out.detach(), [x.grad for x in (leaves if selection else leaves[:3])]

    wanted, gradients = run(lambda q, k, v, t: torch.stack(
        [by_hand(q[n], k[n], v[n], None if t is None else t[n], scale) for n in range(2)]))
    for function in (lambda *x: full_attention(*x, scale), lambda *x: block_attention(*x, scale, rows)):
        out, found = run(function)
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12)
        for a, b in zip(found, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_query_that_keeps_nothing_takes_the_floor_of_every_key():
    q, k, v, t = sample(1, 4, 9)
    t[:, 2] = 1e3
    for out in (full_attention(q, k, v, t), block_attention(q, k, v, t, rows=2)):
        torch.testing.assert_close(out[0, 2], 1e-8 * v[0].sum(0), rtol=1e-9, atol=0)


def test_the_gradient_passes_gradcheck():
    inputs = [x.requires_grad_() for x in sample(2, 5, 6)]
    assert torch.autograd.gradcheck(lambda *x: block_attention(*x, 1.0, 2), inputs)


def test_half_precision_keeps_the_floor():
    q, k, v, _ = sample(1, 3, 4096)
    t = torch.full((1, 3, 1), 1e3)
    v = v.abs() * 1000
    wanted = 1e-8 * v.sum(1)[0].expand(3, -1)
    out = block_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), t)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[0].double(), wanted, rtol=2e-2, atol=0)


def test_block_size_is_bounded_by_memory_not_by_the_number_of_positions():
    device = torch.device('cpu')
    assert block_rows(100, 100, device) == 100
    for positions in (4096, 65536):
        rows = block_rows(positions, positions, device)
        assert rows < positions
        assert rows * positions <= max(selective.BLOCK_CPU, selective.LEAST_ROWS * positions)


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """The largest tensor that any operation returns, in elements."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result, ):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return result


@pytest.mark.parametrize('train', [False, True])
def test_no_tensor_of_positions_times_positions_is_made(train):
    layer = AttentiveContextualAttention(8, mode='blocks', block_size=16)
    x = torch.rand(1, 8, 37, 41, requires_grad=train)
    positions = 37 * 41
    with Largest() as seen, torch.set_grad_enabled(train):
        out = layer(x)
        if train:
            out.sum().backward()
    # Patches of the 3x3 convolution are 9 * 8 channels at the most.
    assert seen.elements <= max(16 * positions, 72 * positions)
    with Largest() as seen, torch.no_grad():
        AttentiveContextualAttention(8, mode='full')(x)
    assert seen.elements >= positions**2


@pytest.mark.parametrize('options', [{}, {'kernel_size': 3}, {'stride': 2}, {'reduction': 2}, {'softmax_scale': 10.0},
                                     {'selection': False}, {'kernel_size': 3, 'stride': 2}], ids=str)
def test_layer_agrees_with_itself_in_blocks(options):
    torch.manual_seed(1)
    layer = AttentiveContextualAttention(8, **options).double()
    x = torch.randn(2, 8, 5, 9, dtype=torch.float64)
    results = []
    for mode in ('full', 'blocks'):
        layer.mode, layer.block_size = mode, 4
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        out = layer(leaf)
        out.square().sum().backward()
        results.append([out.detach(), leaf.grad, *(p.grad.clone() for p in layer.parameters())])
    assert results[0][0].shape == x.shape
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_layer_is_the_formula_of_the_paper():
    torch.manual_seed(2)
    layer = AttentiveContextualAttention(8).double()
    torch.nn.init.constant_(layer.linear_weight[2].bias, 0.9)
    x = torch.randn(1, 8, 3, 5, dtype=torch.float64)
    q, v = layer.query(x)[0].flatten(1).T, layer.value(x)[0].flatten(1).T
    k = q / q.norm(dim=1, keepdim=True)
    w, b = (branch(layer.query(x)).flatten() for branch in (layer.linear_weight, layer.bias))
    mean = (q @ k.T).mean(1)
    out = by_hand(q, k, v, (mean * w - b)[:, None], 1.0).T.reshape(1, 8, 3, 5)
    wanted = torch.nn.functional.leaky_relu(layer.linear[0](out), 0.2) + x
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)
    kept = (layer.weights(x) > 1e-8).double().mean()
    assert 0.05 < kept < 0.95


def test_black_input_has_finite_gradients():
    layer = AttentiveContextualAttention(4)
    for parameter in layer.query.parameters():
        torch.nn.init.zeros_(parameter)
    for mode in ('full', 'blocks'):
        layer.mode = mode
        layer.zero_grad()
        layer(torch.zeros(1, 4, 4, 4)).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_the_path_is_chosen_by_size(monkeypatch):
    layer = AttentiveContextualAttention(4)
    calls = []
    monkeypatch.setattr(module, 'block_attention', lambda *args: calls.append('blocks') or block_attention(*args))
    monkeypatch.setattr(module, 'full_attention', lambda *args: calls.append('full') or full_attention(*args))
    layer(torch.rand(1, 4, 8, 8))
    monkeypatch.setattr(module, 'FULL_CPU', 100)
    layer(torch.rand(1, 4, 8, 8))
    with torch.no_grad():
        layer(torch.rand(1, 4, 2, 2))
    assert calls == ['full', 'blocks', 'blocks']


def test_autocast_stays_close():
    torch.manual_seed(3)
    layer = AttentiveContextualAttention(16, selection=False, mode='blocks')
    x = torch.rand(1, 16, 9, 9, requires_grad=True)
    wanted = layer(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = layer(x)
    out.float().sum().backward()
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(out.float(), wanted, rtol=0.05, atol=0.1)


def test_it_can_start_as_the_identity_and_still_learns():
    torch.manual_seed(4)
    layer = AttentiveContextualAttention(8, zero_init=True)
    x = torch.randn(1, 8, 5, 6)
    assert torch.equal(layer(x), x)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    assert not torch.allclose(layer(x), x)
    assert all(p.grad.abs().sum() > 0 for name, p in layer.named_parameters() if name.startswith(('query', 'value')))


class Saved:
    """Sizes of what a forward pass keeps for its backward pass, elements."""

    def __enter__(self) -> list[int]:
        sizes: list[int] = []

        def pack(x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return x

        self.hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)
        self.hooks.__enter__()
        return sizes

    def __exit__(self, *error) -> None:
        self.hooks.__exit__(*error)


def test_what_is_kept_for_the_gradient_grows_with_the_positions_not_their_square():
    layer = AttentiveContextualAttention(8)
    kept = {}
    for side in (40, 80):
        with Saved() as sizes:
            layer(torch.rand(1, 8, side, side, requires_grad=True))
        # The path that 'auto' takes: 1600 positions squared are above FULL_CPU.
        assert max(sizes) < side**4
        kept[side] = sum(sizes)
    assert kept[80] <= 4.1 * kept[40]
    layer.mode = 'full'
    with Saved() as sizes:
        layer(torch.rand(1, 8, 40, 40, requires_grad=True))
    assert max(sizes) >= 40**4


def test_is_an_mmcv_plugin_layer():
    pytest.importorskip('mmcv')
    from mmcv.cnn import build_plugin_layer
    name, layer = build_plugin_layer(dict(type='mmweather.AttentiveContextualAttention', reduction=2), postfix='_1',
                                     in_channels=12)
    assert name == 'aca_1'
    assert layer(torch.rand(1, 12, 5, 3)).shape == (1, 12, 5, 3)


@pytest.mark.parametrize('options', [{'kernel_size': 2}, {'stride': 0}, {'reduction': 9}, {'block_size': 0},
                                     {'mode': 'fast'}], ids=str)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        AttentiveContextualAttention(8, **options)
