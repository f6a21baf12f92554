"""Reading configs, and explaining their mistakes in one line with the key."""
