"""
Write superpoint.rviz and foxglove_layout.json, which show the topics of given cameras.

  superpoint_rknn layouts -o viewers                                # the camera without a name
  superpoint_rknn layouts /cam0 /cam1 -o viewers                    # nodes in two namespaces
  superpoint_rknn layouts /robot --cameras left,right -o viewers    # one node, two cameras

  rviz2 -d viewers/superpoint.rviz
  Foxglove: Layouts, Import from file, viewers/foxglove_layout.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from superpoint_rknn.files import write_atomically
from superpoint_rknn.layouts.camera_topics import camera_topics
from superpoint_rknn.layouts.foxglove import foxglove_layout
from superpoint_rknn.layouts.rviz import rviz_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn layouts`."""
    add = parser.add_argument
    add('namespaces', nargs='*', metavar='NAMESPACE', help='namespaces of the nodes (default: /)')
    add('--cameras', default='', help='parameter `cameras` of the nodes, such as left,right')
    add(
        '--image',
        default='image',
        help='topic of the images, relative to the camera unless it begins with / '
        '(default: %(default)s)',
    )
    add('-o', '--output', type=Path, required=True, metavar='DIR', help='folder of both files')


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn layouts`; return the exit code."""
    names = [name.strip() for name in args.cameras.split(',')]
    cameras = camera_topics(args.namespaces or ['/'], names, args.image)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ('superpoint.rviz', rviz_config(cameras)),
        ('foxglove_layout.json', foxglove_layout(cameras)),
    ):
        write_atomically(args.output / name, text.encode())
        print(args.output / name)
    return 0
