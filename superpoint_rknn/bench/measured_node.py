"""The superpoint node on recorded outputs of the network, with timers in it."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image

from superpoint_rknn.bench.recordings import RecordedRuntime, Recording, read_recording
from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.runtimes.runtime import Runtime


class TimedCounters(ImageCounters):
    """Image counters that keep the times of each image instead of smoothing them."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = threading.Event()  # set when an image is complete
        self.reset()

    def reset(self) -> None:
        """Discard the times of the warm-up."""
        self.overheads: list[float] = []  # callback to published keypoints, without inference [s]
        self.cpu: list[float] = []  # CPU time at the first image's arrival, and after each [s]
        self.callbacks: dict[str, list[float]] = defaultdict(list)  # durations by name [s]
        self._counts_at_reset = self._counts.copy()

    def arrive(self) -> None:
        if not self.cpu:
            self.cpu.append(time.process_time())
        super().arrive()

    def stages(self, stages_ms: dict[str, float]) -> None:
        super().stages(stages_ms)
        if 'total' in stages_ms:
            self.overheads.append(1e-3 * (stages_ms['total'] - stages_ms['infer']))
            self.cpu.append(time.process_time())
            self.finished.set()

    def timed(self, name: str, callback: Callable) -> Callable:
        """Wrap a callback so that its durations are kept."""

        @wraps(callback)  # rclpy inspects the signature
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return callback(*arguments)
            finally:
                self.callbacks[name].append(time.perf_counter() - start)

        return call

    def figures(self) -> dict[str, Any]:
        """Times and counts since the last reset, as JSON types."""
        with self._lock:
            counts = self._counts - self._counts_at_reset
        images = max(len(self.cpu) - 1, 1)
        return {
            'counts': counts,
            'cpu_per_image': (self.cpu[-1] - self.cpu[0]) / images if self.cpu else 0.0,
            'overheads': self.overheads,
            'callbacks': self.callbacks,
        }


class MeasuredNode(SuperPointNode):
    """The superpoint node with a RecordedRuntime, TimedCounters and timed callbacks."""

    def __init__(self, recording: Recording, interruption: Interruption | None = None):
        super().__init__(interruption)
        self.timings = TimedCounters()
        self._recording = recording

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_configure(state)
        if result == TransitionCallbackReturn.SUCCESS:
            camera = self._cameras[0]
            camera.counters = self.timings
            for owner, method, name in (
                (camera, 'receive', 'image'),
                (self._pipelines[0], 'publish_descriptors', 'descriptors'),
                (self, '_publish_diagnostics', 'diagnostics'),
            ):
                setattr(owner, method, self.timings.timed(name, getattr(owner, method)))
        return result

    def _open_runtime(self) -> Runtime:
        return RecordedRuntime(self._recording)

    def measure_overhead(self, message: Image, timeout: float) -> float:
        """
        Pass an image to the node as its executor does; return the overhead [s].

        Raises RuntimeError if its keypoints are not published within `timeout` [s].
        """
        self.timings.finished.clear()
        self._cameras[0].receive(message)
        if not self.timings.finished.wait(timeout):
            raise RuntimeError(f'no keypoints after {timeout:g} s')
        return self.timings.overheads[-1]


def main() -> int:
    """Run the node on the recording that the first argument names, then print its figures."""
    recording = read_recording(Path(sys.argv[1]))
    nodes: list[MeasuredNode] = []

    def create(interruption: Interruption) -> MeasuredNode:
        nodes.append(MeasuredNode(recording, interruption))
        signal.signal(signal.SIGUSR1, lambda *_: nodes[0].timings.reset())
        return nodes[0]

    code = run_node(create)
    print(json.dumps(nodes[0].timings.figures()), flush=True)
    return code


if __name__ == '__main__':
    sys.exit(main())
