"""The mixture of experts at CleanNet's full resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.whole_image import whole_image

from . import cpu, cpu_training

STEPS = 4
EXPERTS = 8


def _depthwise(dim: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(dim, dim, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation, groups=dim, bias=False)


class SeparableExpert(nn.Module):
    """Depthwise k x k, 1x1, ReLU, depthwise k x k, 1x1."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            _depthwise(dim, kernel), nn.Conv2d(dim, dim, 1, bias=False), nn.ReLU(), _depthwise(dim, kernel),
            nn.Conv2d(dim, dim, 1, bias=False))
        self.reach = kernel - 1

    def features(self, x: Tensor) -> Tensor:
        """Everything but the last 1x1 convolution, (B, C, H, W) to the same shape."""
        if cpu_training.applies(x):
            x = cpu_training.pointwise_map(cpu_training.depthwise(x, self.op[0].weight), self.op[1])
            return cpu_training.depthwise(x.relu_(), self.op[3].weight)
        return self.op[3](F.relu(self.op[1](self.op[0](x)), inplace=True))

    def rows(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """:meth:`features` of rows of one sample, (rows, W, C); ``reach`` rows at a cut are wrong."""
        x = cpu.depthwise(x, self.op[0].weight.to(dtype))
        x = cpu.pointwise(x, self.op[1].weight.flatten(1).to(dtype)).relu_()
        return cpu.depthwise(x, self.op[3].weight.to(dtype))

    @property
    def mixing(self) -> Tensor:
        """The last 1x1 convolution as a matrix (C out, C in)."""
        return self.op[4].weight.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op[4](self.features(x))


class DilatedExpert(nn.Module):
    """Depthwise k x k with dilation 2, 1x1."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.op = nn.Sequential(_depthwise(dim, kernel, dilation=2), nn.Conv2d(dim, dim, 1, bias=False))
        self.reach = kernel - 1

    def features(self, x: Tensor) -> Tensor:
        """Everything but the last 1x1 convolution, (B, C, H, W) to the same shape."""
        if cpu_training.applies(x):
            return cpu_training.depthwise(x, self.op[0].weight, dilation=2)
        return self.op[0](x)

    def rows(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """:meth:`features` of rows of one sample, (rows, W, C); ``reach`` rows at a cut are wrong."""
        return cpu.depthwise(x, self.op[0].weight.to(dtype), dilation=2)

    @property
    def mixing(self) -> Tensor:
        """The last 1x1 convolution as a matrix (C out, C in)."""
        return self.op[1].weight.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op[1](self.features(x))


class AveragePoolExpert(nn.Module):
    """3x3 mean that does not count the padding."""

    mixing = None
    reach = 1

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def rows(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """:meth:`features` of rows of one sample, (rows, W, C); ``reach`` rows at a cut are wrong."""
        return self.features(x.unsqueeze(0).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).squeeze(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


def build_experts(dim: int) -> list[nn.Module]:
    """The eight experts in the published order."""
    return [
        *(SeparableExpert(dim, kernel) for kernel in (1, 3, 5, 7)),
        *(DilatedExpert(dim, kernel) for kernel in (3, 5, 7)),
        AveragePoolExpert(),
    ]


class ExpertGate(nn.Module):
    """Expert logits from the mean colour of the features: (B, C, H, W) to (B, steps, experts)."""

    def __init__(self, dim: int, steps: int = STEPS, experts: int = EXPERTS) -> None:
        super().__init__()
        self.steps = steps
        self.ca_fc = nn.Sequential(
            nn.Linear(dim, steps * experts * 2), nn.ReLU(), nn.Linear(steps * experts * 2, steps * experts))

    def forward(self, x: Tensor) -> Tensor:
        return self.ca_fc(whole_image(self, lambda: x.mean((2, 3)))).unflatten(-1, (self.steps, -1))


class ExpertStep(nn.Module):
    """One step: all experts, weighted per sample, mixed by a 1x1 convolution and added to the state."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(build_experts(dim))
        self._out = nn.Sequential(nn.Conv2d(dim * EXPERTS, dim, 1, bias=False), nn.ReLU())

    def mixing_matrix(self, gate: Tensor) -> Tensor:
        """Last 1x1 of every expert, its gate and the output convolution as one matrix a sample: (B, C, 8C).

        Between an expert's last 1x1 convolution and the step's output convolution stands only the gate, so
        the two are one linear map.
        """
        columns = []
        for expert, out in zip(self._ops, self._out[0].weight.flatten(1).chunk(EXPERTS, dim=1), strict=True):
            columns.append(out if expert.mixing is None else out @ expert.mixing)
        stacked = torch.stack(columns, dim=1)
        return (stacked * gate[:, None, :, None]).flatten(2)

    def forward(self, state: Tensor, gate: Tensor) -> Tensor:
        """State (B, C, H, W) and gate (B, 8), which sums to one over the experts, to the next state."""
        if cpu.applies(state):
            return cpu.expert_step(self, state.permute(0, 2, 3, 1), gate).permute(0, 3, 1, 2)
        b, c, h, w = state.shape
        if cpu_training.applies(state):
            mixed = state.new_zeros(b, h * w, c)
            for expert, matrix in zip(self._ops, self.mixing_matrix(gate).unflatten(2, (-1, c)).unbind(2), strict=True):
                mixed = mixed.baddbmm_(expert.features(state).permute(0, 2, 3, 1).flatten(1, 2), matrix.mT)
            return (mixed.view(b, h, w, c).permute(0, 3, 1, 2).relu_() + state).relu_()
        features = torch.cat([expert.features(state) for expert in self._ops], dim=1)
        matrix = self.mixing_matrix(gate)
        features = features.permute(0, 2, 3, 1).reshape(b, h * w, -1)
        mixed = (features @ matrix.to(features.dtype).transpose(1, 2)).view(b, h, w, c).permute(0, 3, 1, 2)
        return F.relu(F.relu(mixed) + state)


class ExpertSteps(nn.Module):
    """1x1 convolution and ReLU, then the four steps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.preprocess = nn.ModuleDict({'op': nn.Sequential(nn.Conv2d(dim, dim, 1, bias=False), nn.ReLU())})
        self._ops = nn.ModuleList(ExpertStep(dim) for _ in range(STEPS))

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """x (B, C, H, W), gates (B, steps, experts)."""
        state = self.preprocess['op'](x)
        for i, step in enumerate(self._ops):
            state = step(state, gates[:, i])
        return state


class MixtureOfExperts(nn.Module):
    """All experts always run; a gate computed once from the input weights them (DRSformer, section 3.4).

    Input (B, C, H, W); output of the same shape, not negative, without a residual to the input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([ExpertGate(dim), ExpertSteps(dim)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](x, F.softmax(self.layers[0](x), dim=-1))
