"""Restorers that wrap any network: supervised, classical, in front of a detector."""
