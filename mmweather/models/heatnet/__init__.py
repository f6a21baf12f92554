"""HeatNet: day and night segmentation of RGB and thermal images with domain critics."""
