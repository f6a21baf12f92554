"""Transforms that move every image of a sample together."""
