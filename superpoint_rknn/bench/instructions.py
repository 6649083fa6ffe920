"""
Instructions that each step executes, counted by valgrind: free of a machine's noise.

Counted is the difference between many calls and few, each in a process of its own.

Example:
-------
  python -m superpoint_rknn.bench.instructions .cache/bench/recording_400x640.npz
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2

from superpoint_rknn.bench.graph import has_ros
from superpoint_rknn.bench.recordings import Recording, read_recording
from superpoint_rknn.bench.steps import numeric_steps

FEW, MANY = 5, 29  # calls; all of a recording's images but for the first ones
# How valgrind is told apart from the ROS wheels' restart of Python, which it would not follow.
NO_RESTART = {'_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1'}
FRAME = 'frame_overhead'


def count(recording: Path, step: str, way: str) -> float:
    """
    Instructions per call of a step, 'ours' or 'baseline'.

    Raises RuntimeError if valgrind or the step fails.
    """
    few, many = (_total(recording, step, way, calls) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _total(recording: Path, step: str, way: str, calls: int) -> int:
    command = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', sys.executable]
    command += ['-m', 'superpoint_rknn.bench.instructions', str(recording)]
    command += ['--step', step, '--way', way, '--calls', str(calls)]
    with tempfile.TemporaryFile('w+') as log:
        code = subprocess.run(command, env=os.environ | NO_RESTART, stderr=log).returncode
        log.seek(0)
        text = log.read()
    found = re.search(r'Collected\s*:\s*(\d+)', text)
    if code or not found:
        raise RuntimeError(f'{step}: valgrind: exit code {code}: {text.strip()[-200:]}')
    return int(found[1])


def repeated(recording: Recording, step: str, way: str, calls: int) -> None:
    """Do a step as often as asked. Raises ValueError for a step that isn't known."""
    cv2.setNumThreads(1)
    if step == FRAME:
        return _frames(recording, calls)
    for known in numeric_steps(recording):
        if known.name == step:
            known.prepare(0)  # always the same image, or copies would be counted
            call: Callable[[int], object] = getattr(known, way)
            for index in range(calls):
                call(index)
            return None
    raise ValueError(f'no step {step!r}')


def _frames(recording: Recording, calls: int) -> None:
    """Lead images through the node as its executor would."""
    import rclpy

    from superpoint_rknn.bench.measured_node import MeasuredNode
    from superpoint_rknn.bench.ros_steps import image_message

    rclpy.init()
    node = MeasuredNode(recording)
    node.trigger_configure()
    node.trigger_activate()
    messages = [image_message(image, 1 + i) for i, image in enumerate(recording.images)]
    for index in range(calls):
        node.overhead_of(messages[index % len(messages)], timeout=60.0)
    node.trigger_shutdown()
    node.destroy_node()
    rclpy.shutdown()


def main() -> int:
    """Print a table of all steps; or, with --step, be the process that is counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path, help='file that `superpoint_rknn bench` left')
    parser.add_argument('--step')
    parser.add_argument('--way', default='ours', choices=('ours', 'baseline'))
    parser.add_argument('--calls', type=int, default=FEW)
    arguments = parser.parse_args()
    if arguments.step:
        recording = read_recording(arguments.recording)
        repeated(recording, arguments.step, arguments.way, arguments.calls)
        return 0
    names = [step.name for step in numeric_steps(read_recording(arguments.recording))]
    print('millions of instructions     ours  baseline')
    for name in names:
        ours, baseline = (count(arguments.recording, name, way) for way in ('ours', 'baseline'))
        print(f'{name:24}{ours / 1e6:9.3f} {baseline / 1e6:9.3f}', flush=True)
    if has_ros():
        print(f'{FRAME:24}{count(arguments.recording, FRAME, "ours") / 1e6:9.3f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
