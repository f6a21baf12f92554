"""SSDIE-Net: semi-supervised enhancement of sand-dust images."""
