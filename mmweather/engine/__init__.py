"""Hooks, loops and what the tools share."""
