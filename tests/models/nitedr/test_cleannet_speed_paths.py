"""The arrangements for CPUs give the numbers of formulas written out here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmweather.models.nitedr import cpu, cpu_training
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.nitedr.experts import ExpertStep, MixtureOfExperts
from mmweather.models.nitedr.layers import MixedScaleFeedForward, TopKChannelAttention, TransformerBlock


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def run_conv(x, conv):
    return F.conv2d(x, conv.weight, conv.bias, 1, conv.padding, conv.dilation, conv.groups)


def plain_feed_forward(m, x):
    x = run_conv(x, m.project_in)
    a1, a2 = run_conv(x, m.dwconv3x3).relu().chunk(2, 1)
    b1, b2 = run_conv(x, m.dwconv5x5).relu().chunk(2, 1)
    u = run_conv(torch.cat((a1, b1), 1), m.dwconv3x3_1).relu()
    w = run_conv(torch.cat((a2, b2), 1), m.dwconv5x5_1).relu()
    return run_conv(torch.cat((u, w), 1), m.project_out)


def plain_attention(m, x):
    b, c, h, w = x.shape
    q, k, v = (t.reshape(b, m.num_heads, -1, h * w) for t in run_conv(run_conv(x, m.qkv), m.qkv_dwconv).chunk(3, 1))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * m.temperature
    size = scores.shape[-1]
    out = 0
    for factor, keep in zip((m.attn1, m.attn2, m.attn3, m.attn4),
                            (size // 2, size * 2 // 3, size * 3 // 4, size * 4 // 5), strict=True):
        dropped = torch.ones_like(scores, dtype=torch.bool).scatter(-1, scores.topk(keep, -1).indices, False)
        out = out + factor * (scores.masked_fill(dropped, -torch.inf).softmax(-1) @ v)
    return run_conv(out.reshape(b, c, h, w), m.project_out)


def plain_mixture(m, x):
    gate, steps = m.layers
    hidden = F.linear(x.mean((2, 3)), gate.ca_fc[0].weight, gate.ca_fc[0].bias).relu()
    weights = F.linear(hidden, gate.ca_fc[2].weight, gate.ca_fc[2].bias).view(-1, 4, 8).softmax(-1)
    state = run_conv(x, steps.preprocess['op'][0]).relu()
    for i, step in enumerate(steps._ops):
        parts = []
        for j, expert in enumerate(step._ops):
            if j < 7:
                y = state
                for op in expert.op:
                    y = y.relu() if isinstance(op, torch.nn.ReLU) else run_conv(y, op)
            else:
                y = F.avg_pool2d(state, 3, 1, 1, count_include_pad=False)
            parts.append(y * weights[:, i, j, None, None, None])
        state = (run_conv(torch.cat(parts, 1), step._out[0]).relu() + state).relu()
    return state


BLOCKS = {
    'feed-forward, odd width': (lambda: MixedScaleFeedForward(17, 2.66, True), plain_feed_forward, 17),
    'feed-forward, even width': (lambda: MixedScaleFeedForward(24, 2.0, False), plain_feed_forward, 24),
    'feed-forward, several groups': (lambda: MixedScaleFeedForward(51, 2.66, False), plain_feed_forward, 51),
    'feed-forward, width 1': (lambda: MixedScaleFeedForward(1, 1.0, False), plain_feed_forward, 1),
    'attention, one head': (lambda: TopKChannelAttention(24, 1, True), plain_attention, 24),
    'attention, heads': (lambda: TopKChannelAttention(32, 4, False), plain_attention, 32),
    'experts': (lambda: MixtureOfExperts(8), plain_mixture, 8),
}


def block(name):
    build, plain, channels = BLOCKS[name]
    module = build()
    if isinstance(module, TopKChannelAttention):
        with torch.no_grad():
            for i, p in enumerate((module.attn1, module.attn2, module.attn3, module.attn4)):
                p.fill_(0.1 + 0.2 * i)
            module.temperature.uniform_(1, 4)
    return module, plain, channels


@pytest.mark.parametrize('layout', [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize('working_set', [1 << 18, 1500])
@pytest.mark.parametrize('name', BLOCKS)
def test_inference_equals_formula(name, working_set, layout, monkeypatch):
    monkeypatch.setattr(cpu, 'WORKING_SET', working_set)
    module, plain, channels = block(name)
    x = torch.randn(2, channels, 106, 6).contiguous(memory_format=layout)
    before = x.clone()
    with torch.no_grad():
        assert cpu.applies(x)
        torch.testing.assert_close(module(x), plain(module, x), atol=3e-6, rtol=3e-5)
    assert torch.equal(x, before), 'the input was overwritten'


def test_strips_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(cpu, 'WORKING_SET', 1500)
    for height in (1, 7, 38, 256):
        rows = [row for start, stop in cpu.strips(height, 10, 8, 2) for row in range(start, stop)]
        assert rows == list(range(height))
    assert len(list(cpu.strips(256, 10, 8, 2))) > 3


@pytest.mark.parametrize('name', BLOCKS)
def test_gradients_equal_formula(name):
    module, plain, channels = block(name)
    x = torch.randn(2, channels, 18, 12)
    weight = torch.randn(2, channels, 18, 12)
    found = []
    for run in (module, lambda t: plain(module, t)):
        module.zero_grad()
        y = x.clone().requires_grad_()
        assert cpu_training.applies(y)
        (run(y) * weight).sum().backward()
        found.append({'x': y.grad} | {k: p.grad.clone() for k, p in module.named_parameters()})
    for key, wanted in found[1].items():
        scale = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(found[0][key], wanted, atol=2e-5 * scale, rtol=1e-4,
                                   msg=lambda text, key=key: f'{key}: {text}')


@pytest.mark.parametrize('kernel', [1, 3, 5, 7])
@pytest.mark.parametrize(('dilation', 'size'), [(1, (9, 7)), (1, (3, 2)), (2, (8, 6)), (2, (7, 9)), (3, (12, 12))])
def test_depthwise_gradients(kernel, dilation, size):
    x = torch.randn(2, 5, *size, dtype=torch.float32)
    weight, bias = torch.randn(5, 1, kernel, kernel), torch.randn(5)
    direction = torch.randn(2, 5, *size)
    grads = []
    for convolve in (cpu_training.depthwise,
                     lambda x, w, b, d: F.conv2d(x.double(), w.double(), b.double(), 1, d * (kernel // 2), d, 5)):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = convolve(*leaves, dilation)
        grads.append([y.float(), *torch.autograd.grad((y * direction).sum(), leaves)])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


def test_frozen_weights_get_no_gradient():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    weight = torch.randn(4, 1, 5, 5)
    cpu_training.depthwise(x, weight).sum().backward()
    assert weight.grad is None and x.grad is not None


def small_net():
    return CleanNet(dim=16, num_blocks=(1, 1, 1, 1), heads=(1, 1, 2, 2)).eval()


def test_bfloat16_is_near_float32():
    net, x = small_net(), torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        exact = net(x)
        with torch.autocast('cpu', torch.bfloat16):
            rounded = net(x)
    assert 0 < (rounded - exact).abs().max() < 0.05


def test_training_under_autocast():
    net, x = small_net(), torch.rand(1, 3, 16, 16)
    with torch.autocast('cpu', torch.bfloat16):
        loss = net(x).float().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize('build', [lambda: TransformerBlock(8, 1, 2.66, False, 'WithBias'), lambda: ExpertStep(4)])
def test_export_and_trace_take_the_plain_way(build):
    net = build().eval()
    experts = isinstance(net, ExpertStep)
    inputs = (torch.randn(1, 4, 16, 24), torch.rand(1, 8)) if experts else (torch.randn(1, 8, 16, 24), )
    with torch.no_grad():
        wanted = net(*inputs)
        exported = torch.export.export(net, inputs).module()(*inputs)
        traced = torch.jit.trace(net, inputs, check_trace=False)(*inputs)
    torch.testing.assert_close(exported, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(traced, wanted, atol=1e-5, rtol=1e-4)


def test_no_stale_weights():
    net, x = small_net(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        net(x)
        for p in net.parameters():
            p.mul_(0.5)
        other = small_net()
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(x), other(x))
