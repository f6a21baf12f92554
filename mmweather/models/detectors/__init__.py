"""Parts of detectors that mmdet does not have."""
