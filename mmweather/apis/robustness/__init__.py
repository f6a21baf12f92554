"""Metrics of a model in weather of rising severity."""
