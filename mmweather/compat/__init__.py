"""Mends the frozen OpenMMLab releases on current PyTorch and NumPy.

One fault, one module; each tells the fault, the mend and where it does nothing.  Nothing heavy is imported here:
a mend of another package runs when that package is imported.
"""

from __future__ import annotations


def apply() -> None:
    """Install every mend; cheap, idempotent, and a no-op where upstream works."""
    from . import cpu_dist, data_configs, lazy_mmagic, mmcv_ops, numpy_names, safe_load, safe_yaml

    for mend in (mmcv_ops, numpy_names, safe_load, safe_yaml, data_configs, cpu_dist, lazy_mmagic):
        mend.apply()
