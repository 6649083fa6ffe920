"""Errors that are common to all layers."""


class NotReadyError(Exception):
    """
    Mixin of errors whose cause may vanish by itself: a missing file, library or device.

    A node with `autostart` tries again after such an error, and only after such an error.
    """
