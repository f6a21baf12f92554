"""Forward passes in bfloat16 on a CPU."""

from __future__ import annotations

import torch
from torch import nn

from mmweather.registry import OPTIM_WRAPPERS


def test_convolutions_run_in_bfloat16_and_weights_stay_float32():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3)
    wrapper = OPTIM_WRAPPERS.build(dict(type='mmweather.BFloat16OptimWrapper',
                                        optimizer=torch.optim.SGD(model.parameters(), 0.1)))
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 3, 8, 8))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().square().mean())
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, before)
    assert model(torch.randn(1, 3, 8, 8)).dtype == torch.float32, 'the context has ended'
