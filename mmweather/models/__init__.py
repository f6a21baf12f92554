"""Networks, losses and wrappers, one room a method."""
