"""Subscriptions of one camera or stereo pair of the tracker: from callbacks into the queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.common.pair_watch import PairWatch
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.tracker.camera import TrackerCamera
from superpoint_rknn.nodes.tracker.queue import TrackerQueue


class TrackerInputs:
    """
    Put the images, keypoints and descriptors of a camera or stereo pair into a queue.

    The points of the left camera are tracked over time; those of the right one only while the left
    one is silent, with the parameter mono_fallback. Not thread-safe, except for `queue`.
    cameras: one camera, or the left and the right camera of a stereo pair.
    """

    def __init__(
        self, node: ManagedNode, parameters: Parameters, cameras: Sequence[TrackerCamera]
    ):
        self._parameters = parameters
        self._cameras = cameras
        self._watch: PairWatch | None = None
        if len(cameras) == 2:
            names = [camera.name for camera in cameras]
            self._watch = PairWatch(node, names, parameters['mono_fallback'])
        self.queue = self._new_queue()

    def activate(self) -> None:
        """Subscribe; the queue is a new, empty one."""
        self.queue = self._new_queue()
        if self._watch is not None:
            self._watch.start()
        for number, camera in enumerate(self._cameras):
            on_points: tuple = (
                partial(self._on_keypoints, number),
                partial(self._on_descriptors, number),
            )
            if number == 1 and not self._parameters['mono_fallback']:
                on_points = ()
            camera.activate(partial(self._on_image, number), *on_points)

    def deactivate(self) -> None:
        """Unsubscribe, drop waiting images and close the queue."""
        for camera in self._cameras:
            camera.deactivate()
        self._drop(*self.queue.clear())
        self.queue.close()

    def check(self) -> None:
        """Update the warnings of the cameras; call once a second."""
        waiting = None if self._watch is None else self._watch.check()
        for camera in self._cameras:
            camera.check_publishers()
            camera.input_warning = camera.input_warning or waiting

    def _on_image(self, number: int, image: ReceivedImage) -> None:
        """Put an image of camera 0 or 1 into the queue, which drops others if it is full."""
        if self._watch is not None:
            self._watch.arrive(number)
        is_alone = self._watch is not None and self._watch.is_alone(number)
        if number == 1 and not is_alone:
            self._drop([], self.queue.put_right(image))
            return
        wait, has_detector = self._parameters['keypoints_wait'], self._cameras[number].has_detector
        self._drop(*self.queue.put_image(image, wait, has_detector, number, is_alone))

    def _on_keypoints(self, number: int, message: Keypoints) -> None:
        """Put keypoints into the queue; count them if their image was tracked without them."""
        if self._is_followed(number) and self.queue.put_keypoints(message):
            self._cameras[number].counters.count('late_keypoints')

    def _on_descriptors(self, number: int, message: Descriptors) -> None:
        if self._is_followed(number):
            self.queue.put_descriptors(message)

    def _is_followed(self, number: int) -> bool:
        """True if the points of camera 0 or 1 are tracked over time: 0, unless 1 is alone."""
        return number == 0 or (self._watch is not None and self._watch.is_alone(number))

    def _drop(self, lefts: list[ReceivedImage], rights: list[ReceivedImage]) -> None:
        """Count images of the left and of the right camera as dropped."""
        for camera, images in zip(self._cameras, (lefts, rights), strict=False):
            for _ in images:
                camera.counters.finish('dropped')

    def _new_queue(self) -> TrackerQueue:
        if self._watch is None:
            return TrackerQueue()
        return TrackerQueue(round(1e9 * self._parameters['sync_tolerance']))
