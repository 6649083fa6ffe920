"""Decode and describe in C, with the interface and the results of `features`."""
