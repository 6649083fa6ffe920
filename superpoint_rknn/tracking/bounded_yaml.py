"""Read small YAML files from others: no aliases, bounded size and depth, all scalars as text."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 2**20
MAX_DEPTH = 16  # of nested lists and mappings
MAX_NODES = 20_000


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Return the mapping in the first document of a YAML file; scalars as str.

    The head `%YAML:1.0` of OpenCV, which is no YAML, is skipped; tags are ignored.
    Raises OSError, or ValueError if it is no regular file, is too large or nested too deeply, has
    an alias or a key twice, or is no mapping.
    """
    import yaml  # comes with rclpy; needed here alone

    text = _read_text(path)
    if text.startswith('%YAML:'):
        text = text.partition('\n')[2]
    try:
        content = _build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = '' if error.problem_mark is None else f'line {error.problem_mark.line + 1}: '
        raise ValueError(f'{line}not valid YAML: {error.problem}') from None
    except yaml.YAMLError as error:
        raise ValueError(f'not valid YAML: {" ".join(str(error).split())}') from None
    if not isinstance(content, dict):
        raise ValueError('no YAML mapping, such as `image_width: 640`')
    return content


def _read_text(path: Path) -> str:
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, 'rb') as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError('no regular file: give the path of a YAML file')
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f'larger than {MAX_BYTES} bytes: no calibration of a camera')
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'byte {error.start}: no UTF-8 text: save it as UTF-8') from None


def _build(events: Iterator[Any]) -> Any:
    """Return the content of the first document; the parser is stopped at the first violation."""
    from yaml import events as kinds

    root: list[Any] = []
    open_nodes: list[Any] = [root]
    keys: list[str | None] = [None]  # of each open node: the key that waits for its value
    for number, event in enumerate(events):
        where = f'line {event.start_mark.line + 1}'
        if number > MAX_NODES:
            raise ValueError(f'{where}: more than {MAX_NODES} values: no calibration of a camera')
        if isinstance(event, kinds.DocumentEndEvent):
            break
        if isinstance(event, kinds.AliasEvent):
            raise ValueError(f'{where}: the alias *{event.anchor}: write the value itself')
        if isinstance(event, kinds.CollectionEndEvent):
            open_nodes.pop()
            keys.pop()
            continue
        if not isinstance(event, kinds.NodeEvent):
            continue
        value: Any = (
            event.value
            if isinstance(event, kinds.ScalarEvent)
            else ({} if isinstance(event, kinds.MappingStartEvent) else [])
        )
        parent = open_nodes[-1]
        if isinstance(parent, list):
            parent.append(value)
        elif keys[-1] is not None:
            parent[keys[-1]], keys[-1] = value, None
        elif not isinstance(value, str):
            raise ValueError(f'{where}: a list or mapping as a key: expected text')
        elif value in parent:
            raise ValueError(f'{where}: {value!r} is there twice: remove one')
        else:
            keys[-1] = value
            continue
        if not isinstance(value, str):
            open_nodes.append(value)
            keys.append(None)
            if len(open_nodes) > MAX_DEPTH:
                raise ValueError(f'{where}: nested deeper than {MAX_DEPTH}')
    return root[0] if root else None
