"""Training a restorer on labelled and unlabelled images at once."""
