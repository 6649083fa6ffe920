"""Parameters in arguments and files that ROS ignores without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rclpy.utilities import remove_ros_args

from superpoint_rknn.bounded_yaml import read_yaml

SECTION = 'ros__parameters'


def warnings_of_files(arguments: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
    """
    Return a warning for each parameter file that has a section for none of these nodes.

    arguments: of the process; the files are those after --params-file.
    nodes: full names.
    """
    for option, path in pairwise(arguments):
        if option != '--params-file' or not Path(path).is_file():  # a pipe is read once, by ROS
            continue
        try:
            sections = list(_sections(read_yaml(Path(path))))
        except (OSError, ValueError):  # stricter than ROS, which has read the file
            continue
        if not any(_matches(section, node) for section in sections for node in nodes):
            name = nodes[0].rpartition('/')[2]
            yield (
                f'{path} has no section for {" or ".join(nodes)}, its values are ignored: it has '
                f'{", ".join(sections)}; name it /**/{name} for any namespace'
            )


def warnings_of_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """Return a warning for each parameter or remapping that does not follow --ros-args."""
    for argument in remove_ros_args(arguments):
        if ':=' in argument or argument == '--params-file':
            yield f'{argument} is ignored: it has to follow --ros-args'


def _sections(tree: dict[str, Any], prefix: str = '') -> Iterator[str]:
    """Names of nodes, or patterns of them, whose parameters a file has."""
    for key, value in tree.items():
        if key == SECTION:
            yield prefix
        elif isinstance(value, dict):
            yield from _sections(value, f'{prefix}/{key.strip("/")}')


def _matches(section: str, node: str) -> bool:
    """Return whether ROS applies a section to a node: ** are any namespaces, * is any name."""
    parts = section.split('/')[1:]
    pattern = (
        '(/[^/]+)*' if part == '**' else '/' + re.escape(part).replace(r'\*', '[^/]*')
        for part in parts
    )
    return re.fullmatch(''.join(pattern), node) is not None
