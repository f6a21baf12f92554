"""Mends the frozen OpenMMLab releases on current PyTorch and NumPy."""


def apply() -> None:
    """Install every mend; cheap, idempotent, and a no-op where upstream works."""
