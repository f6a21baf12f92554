"""Metrics, each with its protocol."""
