"""Data sets, samplers and transforms."""
