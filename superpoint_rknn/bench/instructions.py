"""
Count the instructions of each step with valgrind, free of the machine's noise.

`decode` and `describe_500` are what the extractor picks: the native library where it is installed.

The count is the difference between many calls and few, each in a process of its own.

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

FEW, MANY = 5, 29  # calls; the difference is once each image of a recording
ENVIRONMENT = {
    # Keeps the ROS wheels from restarting Python, which valgrind would not follow.
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
    # With random hashes and threads, the start alone differs by millions of instructions.
    'PYTHONHASHSEED': '0',
    'OPENBLAS_NUM_THREADS': '1',
}
FRAME = 'frame_overhead'


def count(recording: Path, step: str, variant: str) -> float:
    """
    Instructions per call of a step; variant: 'ours' or 'baseline'.

    Raises RuntimeError if valgrind or the step fails.
    """
    few, many = (_count_process(recording, step, variant, calls) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _count_process(recording: Path, step: str, variant: str, calls: int) -> int:
    command = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', sys.executable]
    command += ['-m', 'superpoint_rknn.bench.instructions', str(recording)]
    command += ['--step', step, '--variant', variant, '--calls', str(calls)]
    with tempfile.TemporaryFile('w+') as log:
        code = subprocess.run(command, env=os.environ | ENVIRONMENT, stderr=log).returncode
        log.seek(0)
        text = log.read()
    found = re.search(r'Collected\s*:\s*(\d+)', text)
    if code or not found:
        raise RuntimeError(f'{step}: valgrind: exit code {code}: {text.strip()[-200:]}')
    return int(found[1])


def repeat(recording: Recording, step: str, variant: str, calls: int) -> None:
    """Call a step `calls` times. Raises ValueError for an unknown step."""
    cv2.setNumThreads(1)
    if step == FRAME:
        return _repeat_frames(recording, calls)
    for known in numeric_steps(recording):
        if known.name == step:
            known.prepare(0)  # the same image always, or its copy would be counted
            call: Callable[[int], object] = getattr(known, variant)
            for index in range(calls):
                call(index)
            return None
    raise ValueError(f'no step {step!r}')


def _repeat_frames(recording: Recording, calls: int) -> None:
    """Pass images to the node as its executor does."""
    import rclpy

    from superpoint_rknn.bench.measured_node import MeasuredNode
    from superpoint_rknn.bench.ros_steps import image_message

    rclpy.init()
    node = MeasuredNode(recording)
    node.trigger_configure()
    node.trigger_activate()
    messages = [image_message(image, 1 + i) for i, image in enumerate(recording.images)]
    for index in range(calls):
        node.measure_overhead(messages[index % len(messages)], timeout=60.0)
    node.trigger_shutdown()
    node.destroy_node()
    rclpy.shutdown()


def main() -> int:
    """Print the counts of all steps; with --step, be the process that valgrind runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path, help='file that `superpoint_rknn bench` cached')
    parser.add_argument('--step')
    parser.add_argument('--variant', default='ours', choices=('ours', 'baseline'))
    parser.add_argument('--calls', type=int, default=FEW)
    arguments = parser.parse_args()
    if arguments.step:
        recording = read_recording(arguments.recording)
        repeat(recording, arguments.step, arguments.variant, arguments.calls)
        return 0
    names = [step.name for step in numeric_steps(read_recording(arguments.recording))]
    print('millions of instructions     ours  baseline')
    for name in names:
        ours, baseline = (count(arguments.recording, name, v) for v in ('ours', 'baseline'))
        print(f'{name:24}{ours / 1e6:9.3f} {baseline / 1e6:9.3f}', flush=True)
    if has_ros():
        print(f'{FRAME:24}{count(arguments.recording, FRAME, "ours") / 1e6:9.3f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
