"""The managed node `superpoint`: images in, keypoints and descriptors out."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.timer import Timer

from superpoint_rknn.errors import NotReadyError, one_line
from superpoint_rknn.memory import return_freed_memory
from superpoint_rknn.native.library import implementation
from superpoint_rknn.nodes.common.camera_names import groups_of, title_of
from superpoint_rknn.nodes.common.diagnostics import images_status
from superpoint_rknn.nodes.common.in_process import InProcessCameras
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.managed_node import LOCAL_LOG, ManagedNode
from superpoint_rknn.nodes.common.pair_watch import PairWatch
from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.superpoint.camera import Camera
from superpoint_rknn.nodes.superpoint.descriptor_timer import DescriptorTimer
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.masks import MaskReader
from superpoint_rknn.nodes.superpoint.network_check import NetworkCheck, warnings_to
from superpoint_rknn.nodes.superpoint.parameters import (
    PARAMETERS,
    mask_paths,
    parameters_of_cameras,
    settings_of,
)
from superpoint_rknn.nodes.superpoint.pipeline import ImagePipeline
from superpoint_rknn.nodes.superpoint.stereo import StereoPipeline
from superpoint_rknn.nodes.superpoint.worker import Worker
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model
from superpoint_rknn.runtimes.open import RuntimeSettings, import_runtime, open_runtime
from superpoint_rknn.runtimes.runtime import Runtime

MASK_PERIOD = 0.05  # [s] of checking whether a mask that was set is read
STOP_TIMEOUT = 1.0  # [s] for the running inference to end when the node is stopped
IMAGE_DEPTH = 1  # queue depth of image subscriptions: the newest image only
IN_PROCESS_DEPTH = 5  # the same with a tracker in this process, which tracks every image

WorkerMailbox = Mailbox[NetworkCheck | ImagePipeline | StereoPipeline, Any]


class BlockedError(RuntimeError, NotReadyError):
    """An inference call of an earlier configuration has not returned."""


class SuperPointNode(ManagedNode):
    """
    Lifecycle node that publishes the keypoints and descriptors of camera images.

    Image callbacks only put images into the mailbox; only the worker thread uses the runtime.
    Descriptors are computed in the callback of the descriptor timer, so that keypoints are
    published without delay.
    A mask that is set while the node is configured applies when it is read.
    interruption: aborts `configure` while a model is loaded.
    in_process: channels to the tracker in this process; None: there is none.
    """

    def __init__(
        self,
        interruption: Interruption | None = None,
        in_process: InProcessCameras | None = None,
        **kwargs: Any,
    ):
        self._interruption = interruption
        self._in_process = in_process
        self._worker: Worker | None = None  # of this or the last configuration
        self._masks = MaskReader()
        self._mask_timer: Timer | None = None  # while a mask that was set is being read
        self._mask_warning: str | None = None
        self._network_is_checked = False
        self._mailbox: WorkerMailbox = Mailbox()
        self._cameras: list[Camera] = []
        self._pipelines: list[ImagePipeline | StereoPipeline] = []
        self._descriptor_timer: DescriptorTimer | None = None
        super().__init__('superpoint', PARAMETERS, settings_of, parameters_of_cameras, **kwargs)

    @property
    def is_blocked(self) -> bool:
        """True while an abandoned inference call is still blocked."""
        return self._worker is not None and self._worker.is_blocked

    @property
    def is_lost(self) -> bool:
        """True if a runtime call has been blocked for so long that only a new process helps."""
        return self._worker is not None and not self._worker.stopping and self._worker.is_lost

    @property
    def interrupted(self) -> bool:
        """True if this process is asked to end."""
        return self._interruption is not None and self._interruption.requested

    def prepare(self) -> None:
        """Import the runtime for CPUs if the model is for it: that blocks all threads."""
        with suppress(ValueError, RuntimeError):  # `configure` reports it
            import_runtime(self._model_file()[0])

    def configure(self) -> None:
        """Create publishers, begin to read the masks. Raises the reason if that is impossible."""
        if self.is_blocked:
            raise BlockedError(
                'the last inference call has not returned; try again later, or restart the node'
            )
        groups = groups_of(self.values['cameras'], self.values['stereo'])
        if self._in_process is not None:
            self._in_process.check_groups(self.get_name(), groups)
        mailbox: WorkerMailbox = Mailbox()
        self._mailbox = mailbox
        for names in groups:
            sides = [ImagePipeline(self._camera(name), self.values, mailbox) for name in names]
            if len(sides) == 1:
                self._pipelines.append(sides[0])
            else:
                tolerance = round(1e9 * self.values['sync_tolerance'])
                watch = PairWatch(self, names, self.values['mono_fallback'])
                self._pipelines.append(StereoPipeline(sides, mailbox, tolerance, watch))
        self._masks.request(mask_paths(self.values))
        self._network_is_checked = False

    def is_loaded(self, timeout: float) -> bool:
        """
        Wait for the masks, then for the runtime, which is opened in a new worker thread.

        Returns False after `timeout` [s]. Raises the reason if one of both failed.
        """
        if self._worker is None or self._worker.stopping:  # of the last configuration
            if not self._apply_masks(timeout):
                return False
            self._worker = Worker(
                self._open_runtime,
                self._mailbox,
                self.get_logger(),
                lambda: self.values['npu.timeout'],
            )
            self._worker.start()
        if not self._worker.opened.wait(timeout):
            return False
        if self._worker.open_error is not None:
            raise self._worker.open_error
        return True

    def activate(self) -> None:
        """Subscribe to images, start the descriptor timer."""
        depth = IMAGE_DEPTH if self._in_process is None else IN_PROCESS_DEPTH
        for pipeline in self._pipelines:
            pipeline.activate(depth)
        if not self._network_is_checked:
            assert self._worker is not None
            self._worker.mailbox.put(NetworkCheck(self.get_logger()), None)
            self._network_is_checked = True
        self._start_descriptors()

    def stop(self) -> None:
        """Unsubscribe, drop waiting images, wait until the running inference ends."""
        self._stop_descriptors()
        if self._worker is None or not any(camera.active for camera in self._cameras):
            return
        for pipeline in self._pipelines:
            pipeline.deactivate()
        for slot, item in self._worker.mailbox.clear():
            slot.drop(item)
        if not self._worker.mailbox.wait_done(STOP_TIMEOUT):
            self.get_logger().warning(f'the running inference did not end within {STOP_TIMEOUT} s')

    def release(self) -> None:
        """Close the runtime, unless an inference call is blocked; destroy the publishers."""
        has_runtime = False
        self._masks.forget()
        self._end_mask_timer()
        self._mask_warning = None
        if self._worker is not None and not self._worker.stopping:
            has_runtime = self._worker.runtime is not None
            is_slow = self._worker.mailbox.busy_for() > STOP_TIMEOUT
            if not self._worker.stop(0.1 if is_slow else STOP_TIMEOUT):
                self.get_logger().warning('an inference call is still blocked and is abandoned')
        self._pipelines.clear()
        while self._cameras:
            self._cameras.pop().destroy()
        if has_runtime:
            return_freed_memory()
        if self._in_process is not None:
            self._in_process.forget_groups(self.get_name())

    def check_inputs(self) -> None:
        """Check the images of all cameras, and whether the inference hangs."""
        is_hung = self._worker is not None and self._worker.is_hung
        for pipeline in self._pipelines:
            pipeline.check_images()
            pipeline.check_inference(is_hung)

    def statuses(self) -> list[DiagnosticStatus]:
        """Return the status of each camera: counters, rates, stage timings, runtime state."""
        worker = self._worker
        if worker is None or worker.runtime is None:  # not configured
            return []
        return [
            images_status(
                f'{self.get_fully_qualified_name()}: {title_of(camera.name)}',
                camera.counters,
                {'keypoints': 'published', 'descriptors': 'descriptors'},
                {
                    'reopened': worker.reopened,
                    'runtime': worker.runtime.name,
                    'model': worker.runtime.model,
                    'decode_and_describe': implementation(),
                },
                worker.error_message,
                camera.input_warning or self._mask_warning,
                self.values['descriptors.rate'] if camera.has_descriptor_subscribers else 0.0,
            )
            for camera in self._cameras
        ]

    def parameters_changed(self, names: set[str]) -> None:
        """Begin to read masks that were set; change the rate of the descriptor timer."""
        if self.values.fixed and any(name.rpartition('.')[2] == 'mask' for name in names):
            self._masks.request(mask_paths(self.values))
            if self._mask_timer is None:
                self._mask_timer = self.create_timer(
                    MASK_PERIOD, self._on_mask_timer, clock=self.steady_clock
                )
        if 'descriptors.rate' in names and self.running:
            rate = self.values['descriptors.rate']
            if self._descriptor_timer is None or rate <= 0:
                self._stop_descriptors()
                self._start_descriptors()
            else:
                self._descriptor_timer.set_rate(rate)

    def _apply_masks(self, timeout: float) -> bool:
        """Apply the masks once they are read; return False after `timeout` [s]. Raises why not."""
        masks = self._masks.take(timeout)
        if masks is None:
            return False
        self.values.update_settings(
            lambda settings: {
                camera: replace(each, mask=masks[camera]) for camera, each in settings.items()
            }
        )
        return True

    def _on_mask_timer(self) -> None:
        if not self.configured:  # `is_loaded` applies the masks
            return
        try:
            if not self._apply_masks(0.0):
                return
            self._mask_warning = None
        except (OSError, ValueError, MemoryError) as error:
            LOCAL_LOG.error(f'{one_line(str(error))}; the previous mask still applies')
            self._mask_warning = (
                'mask: not read, the previous one still applies: see the log on this computer'
            )
        self._end_mask_timer()

    def _end_mask_timer(self) -> None:
        if self._mask_timer is not None:
            self.end_timer(self._mask_timer)
            self._mask_timer = None

    def _camera(self, name: str) -> Camera:
        in_process = None if self._in_process is None else self._in_process[name]
        camera = Camera(self, name, self.values['image_transport'], in_process)
        self._cameras.append(camera)
        return camera

    def _model_file(self) -> tuple[Path, str | None]:
        """Return the model file, which may not exist, and the chip, None on other machines."""
        settings, soc = RuntimeSettings.from_values(self.values), detect_soc()
        return find_model(settings.model, soc, settings.runtime), soc

    def _open_runtime(self) -> Runtime:
        model, soc = self._model_file()
        settings = RuntimeSettings.from_values(self.values)
        if soc and model.suffix == '.onnx':
            self.get_logger().warning(
                f'{soc}: running on the CPU, not on the NPU: set the parameter `model` to a .rknn '
                'file converted for this chip'
            )
        with warnings_to(self.file_log):
            runtime = open_runtime(**(asdict(settings) | {'model': model}))
        self.get_logger().info(
            f'{runtime.model} on {runtime.name}; decode and describe: {implementation()}'
        )
        return runtime

    def _start_descriptors(self) -> None:
        rate = self.values['descriptors.rate']
        if rate > 0:
            self._descriptor_timer = DescriptorTimer(self, self._pipelines, rate)

    def _stop_descriptors(self) -> None:
        if self._descriptor_timer is not None:
            self._descriptor_timer.stop()
            self._descriptor_timer = None
        for pipeline in self._pipelines:
            pipeline.discard_pending()


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run_node(SuperPointNode, args)


if __name__ == '__main__':
    sys.exit(main())
