"""Checking, installing and writing datasets on disk."""
