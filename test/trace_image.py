"""
Print the files and locks of the package that processing one image to keypoints uses.

  python test/trace_image.py

Runs the superpoint node in this process with a runtime that computes nothing, publishes images and
traces the last one, in the executor's thread and in the inference thread.
"""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

PACKAGE = str(Path(__file__).resolve().parents[1] / 'superpoint_rknn')
HEIGHT, WIDTH = 64, 96
IMAGES = 4


class Trace:
    """Records calls of package functions, and acquisitions of locks that the package made."""

    def __init__(self):
        self.recording = False
        self.files = {}  # file -> threads, in the order of the first call
        self.locks = []  # file:line of each acquisition

    def profile(self, frame, event, _):
        """Profile function of every thread."""
        if self.recording and event == 'call' and frame.f_code.co_filename.startswith(PACKAGE):
            file = os.path.relpath(frame.f_code.co_filename, PACKAGE)
            self.files.setdefault(file, set()).add(threading.current_thread().name)

    def acquired(self):
        """Record an acquisition by the calling function."""
        frame = sys._getframe(2)
        if self.recording:
            file = os.path.relpath(frame.f_code.co_filename, PACKAGE)
            self.locks.append(f'{file}: {frame.f_code.co_name}')


def counted(kind, trace):
    """Return a factory of locks that `trace` counts where the package makes them."""

    def make(*arguments):
        lock = kind(*arguments)
        if not sys._getframe(1).f_code.co_filename.startswith(PACKAGE):
            return lock

        class Counted:
            def __enter__(self):
                trace.acquired()
                return lock.__enter__()

            def __exit__(self, *error):
                return lock.__exit__(*error)

            def wait(self, timeout=None):
                result = lock.wait(timeout)
                trace.acquired()
                return result

            def __getattr__(self, name):
                return getattr(lock, name)

        return Counted()

    return make


class FreeRuntime:
    """A runtime with fixed outputs."""

    name, model, input_table, stages_ms = 'free', 'free@0', None, {}

    def __init__(self):
        from superpoint_rknn.runtimes.runtime import TensorSpec

        cells = (HEIGHT // 8, WIDTH // 8)
        self.input = TensorSpec('image', (1, 1, HEIGHT, WIDTH), np.dtype(np.uint8))
        self.logits = TensorSpec('logits', (1, 65, *cells), np.dtype(np.float32))
        self.descriptors = TensorSpec('descriptors', (1, 256, *cells), np.dtype(np.float32))
        self._logits = np.random.default_rng(1).normal(0, 3, (65, *cells)).astype(np.float32)

    def infer(self, image, descriptors):
        """Return the logits; the descriptor map is not written."""
        return self._logits

    def close(self):
        """Do nothing."""


def run(trace):
    """Publish images to the node; the last one is traced."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle.publisher import LifecyclePublisher
    from rclpy.parameter import Parameter
    from sensor_msgs.msg import Image

    from superpoint_rknn.msg import Descriptors, Keypoints
    from superpoint_rknn.nodes.superpoint import node as module

    published = []
    publish = LifecyclePublisher.publish

    def publish_and_stop(self, message):
        if isinstance(message, Keypoints):
            trace.recording = False
            published.append(message)
        publish(self, message)

    LifecyclePublisher.publish = publish_and_stop
    module.open_runtime = lambda *arguments, **options: FreeRuntime()
    rclpy.init()
    node = module.SuperPointNode(
        parameter_overrides=[Parameter('model', value=str(Path(__file__)))]
    )
    user = rclpy.create_node('user')
    camera = user.create_publisher(Image, 'image', 1)
    user.create_subscription(Descriptors, 'descriptors', lambda message: None, 1)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.trigger_configure()
    node.trigger_activate()
    image = Image(height=HEIGHT, width=WIDTH, encoding='mono8', step=WIDTH)
    image.data.frombytes(bytes(HEIGHT * WIDTH))
    end = time.monotonic() + 30
    sent = 0
    while len(published) < IMAGES and time.monotonic() < end:
        if len(published) == sent and camera.get_subscription_count():
            sent += 1
            image.header.stamp.sec = sent
            settled = (
                time.monotonic() + 0.3
            )  # for the work after the keypoints of the image before
            while time.monotonic() < settled:
                executor.spin_once(timeout_sec=0.01)
            trace.recording = sent == IMAGES
            camera.publish(image)
        executor.spin_once(timeout_sec=0.01)
    node.shut_down()
    rclpy.shutdown()
    return len(published) == IMAGES


def main():
    trace = Trace()
    threading.Lock = counted(threading.Lock, trace)
    threading.Condition = counted(threading.Condition, trace)
    threading.setprofile(trace.profile)
    sys.setprofile(trace.profile)
    done = run(trace)
    sys.setprofile(None)
    threading.setprofile(None)
    if not done:
        print('no keypoints within 30 s', file=sys.stderr)
        return 1
    print(f'{len(trace.files)} files:')
    for file, threads in trace.files.items():
        print(f'  {file} ({", ".join(sorted(threads))})')
    print(f'{len(trace.locks)} lock acquisitions:')
    for lock in trace.locks:
        print(f'  {lock}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
