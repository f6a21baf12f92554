"""Losses on images that no toolbox has, or has wrong."""
