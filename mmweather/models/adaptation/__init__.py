"""Domain adaptation and several modalities: domain batches, adversarial losses, two-stream backbones."""
