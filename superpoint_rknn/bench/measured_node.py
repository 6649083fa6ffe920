"""The superpoint node on a network without cost, with a stop watch."""

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

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image

from superpoint_rknn.bench.recordings import RecordedRuntime, Recording, read_recording
from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.process import Interruption, run_node
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.runtimes.runtime import Runtime


class StopWatch(ImageCounters):
    """Accounting that remembers each image's times instead of smoothing them."""

    def __init__(self):
        super().__init__()
        self.finished = threading.Event()  # set whenever an image is through
        self.forget()

    def forget(self) -> None:
        """Begin anew: warmed up."""
        self.overheads: list[float] = []  # callback to published keypoints, without network [s]
        self.cpu: list[float] = []  # of the process, when the first image arrived, and after each
        self.callbacks: dict[str, list[float]] = defaultdict(list)  # [s] each, in the executor
        self.forgotten = self._counts.copy()

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
        """The callback, its durations remembered."""

        @wraps(callback)  # rclpy looks at what it takes
        def call(*arguments) -> None:
            start = time.perf_counter()
            callback(*arguments)
            self.callbacks[name].append(time.perf_counter() - start)

        return call

    def figures(self) -> dict:
        """What was remembered, ready for JSON."""
        with self._lock:
            counts = self._counts - self.forgotten
        images = max(len(self.cpu) - 1, 1)
        return {
            'counts': counts,
            'cpu_per_image': (self.cpu[-1] - self.cpu[0]) / images if self.cpu else 0.0,
            'overheads': self.overheads,
            'callbacks': self.callbacks,
        }


class MeasuredNode(SuperPointNode):
    """The node, on recorded outputs of the network, with a stop watch on what it does."""

    def __init__(self, recording: Recording, interruption: Interruption | None = None):
        super().__init__(interruption)
        self.watch = StopWatch()
        self._recording = recording

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_configure(state)
        if result == TransitionCallbackReturn.SUCCESS:
            camera, timed = self._cameras[0], self.watch.timed
            camera.counters = self.watch
            camera.receive = timed('image', camera.receive)
            camera.publish_descriptors = timed('descriptors', camera.publish_descriptors)
            self._publish_diagnostics = timed('diagnostics', self._publish_diagnostics)
        return result

    def _open_runtime(self) -> Runtime:
        return RecordedRuntime(self._recording)

    def overhead_of(self, message: Image, timeout: float) -> float:
        """
        Hand an image to the node as its executor would; returns its overhead [s].

        Raises RuntimeError if its keypoints don't come within `timeout` [s].
        """
        self.watch.finished.clear()
        self._cameras[0].receive(message)
        if not self.watch.finished.wait(timeout):
            raise RuntimeError(f'no keypoints after {timeout:g} s')
        return self.watch.overheads[-1]


def main() -> int:
    """Run the node on the recording that the first argument names; print figures at the end."""
    recording = read_recording(Path(sys.argv[1]))
    nodes = []

    def create(interruption: Interruption) -> MeasuredNode:
        nodes.append(MeasuredNode(recording, interruption))
        signal.signal(signal.SIGUSR1, lambda *_: nodes[0].watch.forget())
        return nodes[0]

    code = run_node(create)
    print(json.dumps(nodes[0].watch.figures()), flush=True)
    return code


if __name__ == '__main__':
    sys.exit(main())
