"""Fixes the frozen OpenMMLab releases on current PyTorch and NumPy.

One fault, one module; each names the fault, the fix and where it does nothing.  Nothing heavy is imported here:
a fix of another package runs when that package is imported.
"""

from __future__ import annotations


def apply() -> None:
    """Install every fix; cheap, idempotent, and a no-op where upstream works."""
    from . import cpu_dist, data_configs, lazy_mmagic, mmcv_ops, numpy_names, safe_load, safe_yaml

    for fix in (mmcv_ops, numpy_names, safe_load, safe_yaml, data_configs, cpu_dist, lazy_mmagic):
        fix.apply()
