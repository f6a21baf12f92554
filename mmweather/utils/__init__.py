"""Files: checkpoints, images, atomic writes."""
