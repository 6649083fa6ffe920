"""Remove from texts what names a user, a machine or its folders."""

from __future__ import annotations

import platform
import re

MAX_TEXT = 500
PATH = re.compile(r'(?<![\w./])(?:~|\.{1,2})?/(?:[^\s/:;,\'"()]+/)*([^\s/:;,\'"()]+)/?')
PUBLIC = ('/sys/', '/proc/', '/dev/')  # folders of the kernel


def public_text(text: str, host: str | None = None) -> str:
    """
    Return a text in one line without folders and without the name of the host.

    host: name of this machine; None: as the system says.
    """
    host = platform.node() if host is None else host
    text = PATH.sub(lambda match: _public_path(match[0], match[1]), ' '.join(text.split()))
    if host:
        text = re.sub(rf'(?<!\w){re.escape(host)}(?!\w)', 'HOST', text)
    printable = ''.join(c if c.isprintable() else '?' for c in text)
    return printable[:MAX_TEXT]


def _public_path(path: str, name: str) -> str:
    return path if path.startswith(PUBLIC) else name
