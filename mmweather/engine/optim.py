"""An optimizer wrapper that MMEngine lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward passes in bfloat16 where autocast allows it, on CPUs too; weights and steps stay float32.

    MMEngine's ``AmpOptimWrapper`` is for accelerators alone.  bfloat16 has float32's range, so no loss is scaled.
    It pays on CPUs with bfloat16 instructions (``avx512_bf16``, ``amx_bf16`` in ``lscpu``).

    Args:
        **kwargs: of ``mmengine.OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Autocast within MMEngine's context."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
