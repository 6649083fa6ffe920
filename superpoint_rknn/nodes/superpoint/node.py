"""The managed node `superpoint`: images in, keypoints and descriptors out."""

from __future__ import annotations

import itertools
import sys
from dataclasses import asdict
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from superpoint_rknn.nodes.common.camera_names import groups_of, title_of
from superpoint_rknn.nodes.common.diagnostics import images_status
from superpoint_rknn.nodes.common.in_process import InProcessCameras
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.process import Interruption, run_node
from superpoint_rknn.nodes.superpoint.camera import Camera
from superpoint_rknn.nodes.superpoint.camera_group import CameraGroup, ImageJob
from superpoint_rknn.nodes.superpoint.mailbox import AllInOrder, Mailbox, NewestInTurn
from superpoint_rknn.nodes.superpoint.parameters import (
    PARAMETERS,
    parameters_of_cameras,
    settings_of,
)
from superpoint_rknn.nodes.superpoint.worker import Worker
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model
from superpoint_rknn.runtimes.open import RuntimeSettings, open_runtime
from superpoint_rknn.runtimes.runtime import Runtime

PATIENCE = 1.0  # [s] for an inference under way to end when the node is stopped
WAKE_UP = 0.1  # [s] longest time until an interruption is noticed while a model is loaded
FED_DEPTH = 5  # images that may wait for the executor where others in the process want each
PARTNERS = (
    8  # images of one camera that may wait for the other one's: at 30 Hz a quarter of a second
)
QUEUE_DEPTH = 256  # images that may wait where none may be left out


class SuperPointNode(ManagedNode):
    """
    Runs SuperPoint on the images of cameras.

    Callbacks only hand images over; the worker thread alone uses the engine. Descriptors are
    made in a timer of their own, on the steady clock, out of the keypoints' way; or, where the
    node has to be deterministic, by the worker.
    interruption: while it is requested, a model that is being loaded is not waited for.
    feeds: receive what arrives and what is published, for listeners in this process.
    """

    def __init__(
        self,
        interruption: Interruption | None = None,
        in_process: InProcessCameras | None = None,
        **kwargs: Any,
    ):
        self._interruption = interruption
        self._has_listeners = in_process is not None
        self._in_process = InProcessCameras() if in_process is None else in_process
        self._worker: Worker | None = None
        self._cameras: list[Camera] = []
        self._groups: list[CameraGroup] = []
        self._descriptor_timer = None
        super().__init__('superpoint', PARAMETERS, settings_of, parameters_of_cameras, **kwargs)

    @property
    def is_blocked(self) -> bool:
        """Whether a call into an engine that was given up has not returned."""
        return self._worker is not None and self._worker.is_alive()

    def configure(self) -> None:
        """Advertise topics, load the model. Raises RuntimeError or ValueError with the reason."""
        if self.is_blocked:
            raise RuntimeError(
                'the last call into the engine has not returned; try again, or restart'
            )
        deterministic = self.values['deterministic']
        mailbox: Mailbox[ImageJob] = Mailbox(
            AllInOrder(QUEUE_DEPTH) if deterministic else NewestInTurn()
        )
        groups = groups_of(self.values['cameras'], self.values['stereo'])
        self._in_process.agree_on(groups)
        for names in groups:
            cameras = []
            for name in names:
                cameras.append(Camera(self, self.values, name, self._in_process[name]))
                self._cameras.append(cameras[-1])
            group = CameraGroup(
                cameras,
                mailbox,
                self.get_logger(),
                round(1e9 * self.values['sync_tolerance']),
                QUEUE_DEPTH if deterministic else PARTNERS,
            )
            self._groups.append(group)
        self._worker = Worker(self._open_runtime, mailbox, self.get_logger())
        self._worker.start()
        while not self._worker.opened.wait(WAKE_UP):
            if self._interruption is not None and self._interruption.requested:
                raise RuntimeError('interrupted while the model was being loaded')
        runtime = self._worker.runtime
        if runtime is None:
            raise RuntimeError(self._worker.error_message)
        self.get_logger().info(f'{runtime.model} on {runtime.name}')

    def activate(self) -> None:
        """Subscribe to images, start the descriptor timer."""
        deterministic = self.values['deterministic']
        depth = QUEUE_DEPTH if deterministic else FED_DEPTH if self._has_listeners else 1
        for group in self._groups:
            for camera in group.cameras:
                camera.activate(group.receive, depth, reliable=deterministic)
        self._start_descriptors()

    def stop(self) -> None:
        """Take no more images, let an inference under way end."""
        self._stop_descriptors()
        active = [camera for camera in self._cameras if camera.active]
        for camera in active:
            camera.deactivate()
        for group in self._groups:
            group.clear()
        if active:
            for job in self._worker.mailbox.clear():
                job.drop()
            if not self._worker.mailbox.wait_done(PATIENCE):
                self.get_logger().warning(f'the engine is still busy after {PATIENCE} s')

    def release(self) -> None:
        """Close the engine, unless a call into it hangs; take the topics down."""
        if self._worker is not None:
            busy = self._worker.mailbox.busy_for() > 0
            if not self._worker.stop(0.1 if busy else PATIENCE):
                self.get_logger().warning('a call into the engine is left to end by itself')
        self._groups.clear()
        while self._cameras:
            self._cameras.pop().destroy()

    def statuses(self) -> list[DiagnosticStatus]:
        """Of each camera counts, rates and stage times; the engine's state."""
        runtime = self._worker.runtime
        return [
            images_status(
                f'{self.get_fully_qualified_name()}: {title_of(camera.name)}',
                camera.counters,
                {'keypoints': 'published', 'descriptors': 'descriptors'},
                {
                    'reopened': self._worker.reopened,
                    'runtime': runtime.name,
                    'model': runtime.model,
                },
                self._worker.error_message or camera.error_message,
            )
            for camera in self._cameras
        ]

    def parameters_changed(self, names: set[str]) -> None:
        """Start the descriptor timer anew if its rate changed."""
        if 'descriptors.rate' in names and self.running:
            self._stop_descriptors()
            self._start_descriptors()

    def _open_runtime(self) -> Runtime:
        settings = RuntimeSettings.from_values(self.values)
        soc = detect_soc()
        model = find_model(settings.model, soc, settings.runtime)
        if soc and model.suffix == '.onnx':
            self.get_logger().warning(
                f'{soc}: running on the CPU, not on the NPU: set the parameter `model` to a .rknn '
                'file converted for this chip'
            )
        return open_runtime(**(asdict(settings) | {'model': model}))

    def _start_descriptors(self) -> None:
        """One camera at a time, each at the rate that is wanted."""
        rate = self.values['descriptors.rate']
        if rate <= 0 or self.values['deterministic']:
            return
        turns = itertools.cycle(
            [(group, camera) for group in self._groups for camera in group.cameras]
        )

        def publish_next() -> None:
            group, camera = next(turns)
            group.publish_descriptors(camera)

        self._descriptor_timer = self.create_timer(
            1.0 / (rate * len(self._cameras)),
            publish_next,
            clock=self.steady_clock,
        )

    def _stop_descriptors(self) -> None:
        if self._descriptor_timer is not None:
            self.end_timer(self._descriptor_timer)
            self._descriptor_timer = None
        for camera in self._cameras:
            camera.forget_descriptors()


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(SuperPointNode, args)


if __name__ == '__main__':
    sys.exit(main())
