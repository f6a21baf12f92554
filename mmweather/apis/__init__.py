"""What the command and Python users call."""
