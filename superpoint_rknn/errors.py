"""Errors that are common to all layers, and their text."""

LONGEST = 2000  # characters of a message; it may quote a text of any length


def one_line(text: str) -> str:
    """
    Return a text in one line, cut to LONGEST, with control characters such as escape as codes.

    Names of files and topics come from others; a terminal would obey what they contain.
    """
    line = ' '.join(text.split())
    line = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LONGEST else f'{line[:LONGEST]}...'


class NotReadyError(Exception):
    """
    Mixin of errors whose cause may vanish by itself: a missing file, library or device.

    A node with `autostart` tries again after such an error, and only after such an error.
    """
