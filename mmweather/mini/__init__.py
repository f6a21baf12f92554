"""Drawn worlds: streets, satellite tiles and the small datasets made of them."""
