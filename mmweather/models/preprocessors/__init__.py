"""Data preprocessors: from packed batches to network inputs."""
