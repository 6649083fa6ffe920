"""Read small YAML files from others: no aliases, bounded size and depth, few types of scalars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from superpoint_rknn.dependencies import pip_install
from superpoint_rknn.files import read_regular

MAX_BYTES = 2**20
MAX_DEPTH = 16  # of nested lists and mappings
MAX_NODES = 20_000
MAX_SCALAR = 64  # characters of a number, bool or null; longer scalars are text
EXPONENT = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+')
TYPES = tuple(f'tag:yaml.org,2002:{name}' for name in ('null', 'bool', 'int', 'float'))


def read_yaml(path: Path, typed: bool = False) -> dict[str, Any]:
    """
    Return the mapping in the first document of a YAML file; see `parse_yaml`.

    Raises OSError, or ValueError if it is no regular file, is too large or no mapping, or as
    `parse_yaml`.
    """
    data = read_regular(path, MAX_BYTES)
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'byte {error.start}: no UTF-8 text: save it as UTF-8') from None
    content = parse_yaml(text, typed)
    if not isinstance(content, dict):
        raise ValueError('no YAML mapping, such as `image_width: 640`')
    return content


def parse_yaml(text: str, typed: bool = False) -> Any:
    """
    Return the content of the first document of a YAML text.

    The head `%YAML:1.0` of OpenCV, which is no YAML, is skipped; tags are ignored; keys are str.
    typed: return null, booleans and numbers as such instead of as str.
    Raises ValueError for invalid YAML, an alias, a key that is there twice, too many or too
    deeply nested values; RuntimeError if PyYAML is missing.
    """
    try:
        import yaml  # not needed to start a node
    except ImportError:
        raise RuntimeError(f'YAML files need PyYAML: {pip_install("pyyaml")}') from None

    if text.startswith('%YAML:'):
        text = text.partition('\n')[2]
    try:
        return _build(yaml.parse(text, Loader=yaml.SafeLoader), _typed if typed else _text)
    except yaml.MarkedYAMLError as error:
        line = '' if error.problem_mark is None else f'line {error.problem_mark.line + 1}: '
        raise ValueError(f'{line}not valid YAML: {error.problem}') from None
    except yaml.YAMLError as error:
        raise ValueError(f'not valid YAML: {" ".join(str(error).split())}') from None


def _text(event: Any) -> str:
    return event.value


def _typed(event: Any) -> Any:
    """Return the value of a scalar by the rules of YAML 1.1, and 1e-3 as a number, as ROS does."""
    import yaml

    text = event.value
    if not event.implicit[0] or len(text) > MAX_SCALAR:
        return text
    if EXPONENT.fullmatch(text):
        return float(text)
    loader = yaml.SafeLoader('')
    tag = loader.resolve(yaml.ScalarNode, text, event.implicit)
    if tag not in TYPES:
        return text
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except ValueError:  # such as 0x_, which the rules take for a number
        return text


def _build(events: Iterator[Any], scalar: Callable[[Any], Any]) -> Any:
    """
    Return the content of the first document; the parser is stopped at the first violation.

    scalar: returns the value of a scalar that is no key, given its event.
    """
    from yaml import events as kinds

    root: list[Any] = []
    open_nodes: list[Any] = [root]
    keys: list[str | None] = [None]  # of each open node: the key that waits for its value
    for number, event in enumerate(events):
        where = f'line {event.start_mark.line + 1}'
        if number > MAX_NODES:
            raise ValueError(f'{where}: more than {MAX_NODES} values')
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
        is_scalar = isinstance(event, kinds.ScalarEvent)
        parent = open_nodes[-1]
        if isinstance(parent, dict) and keys[-1] is None:
            if not is_scalar:
                raise ValueError(f'{where}: a list or mapping as a key: expected text')
            if event.value in parent:
                raise ValueError(f'{where}: {_short(event.value)} is there twice: remove one')
            keys[-1] = event.value
            continue
        value: Any = (
            scalar(event)
            if is_scalar
            else ({} if isinstance(event, kinds.MappingStartEvent) else [])
        )
        if isinstance(parent, list):
            parent.append(value)
        else:
            parent[keys[-1]], keys[-1] = value, None
        if not is_scalar:
            open_nodes.append(value)
            keys.append(None)
            if len(open_nodes) > MAX_DEPTH:
                raise ValueError(f'{where}: nested deeper than {MAX_DEPTH}')
    return root[0] if root else None


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else f'{text[:57]!r}...'
