"""Extraction of the features of one recording to a bag."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from superpoint_rknn.extract.camera import RecordedCamera
from superpoint_rknn.extract.feature_bag import FeatureBag
from superpoint_rknn.extract.job import Job
from superpoint_rknn.extract.parameters import settings_of
from superpoint_rknn.extractor import Detection
from superpoint_rknn.features.input_range import InputRange, InputSettings
from superpoint_rknn.features.rate import SECOND
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.sources.bag import Images, RecordedImage
from superpoint_rknn.sources.messages import grey_image, stamp_ns

LISTED_FAILURES = 10  # in the summary
FAILURE_LENGTH = 300  # characters; a reason may quote data of the recording

T = TypeVar('T')


def prefetch(items: Generator[T, None, None], depth: int = 2) -> Generator[T, None, None]:
    """
    Iterate over a generator that runs in a thread of its own, up to `depth` items ahead.

    The thread runs and closes the generator. An exception is raised after the items before it.
    Closing waits until the item in progress is complete.
    """
    end = object()
    pending: deque[Future[Any]] = deque()
    thread = ThreadPoolExecutor(1)
    try:
        pending.extend(thread.submit(next, items, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, items, end))
            yield item
    finally:
        for future in pending:
            future.cancel()
        thread.submit(items.close)
        thread.shutdown()


@dataclass(frozen=True)
class Detected:
    """An image and its keypoints."""

    header: Any  # std_msgs/Header
    stamp: int  # [ns]
    image: np.ndarray  # (height, width) uint8
    detection: Detection


class Extraction:
    """Extraction of one recording to a bag, with its counts and failures."""

    def __init__(self, job: Job, runtime: Runtime, report: Callable[[int, float], None]):
        self._job = job
        self._runtime = runtime
        self._report = report
        self._cameras = {
            topic: RecordedCamera(runtime, *settings_of(job.values, topic), job.descriptors_rate)
            for topic in job.topics
        }
        self._images = Images(Path(job.bag))
        values = InputSettings.from_values(job.values).input_range
        self._ranges = {topic: InputRange(values, self._warn_of(topic)) for topic in job.topics}
        self._warnings: list[str] = []
        self._done = 0
        self._failures: list[str] = []
        self._failed = self._late = self._keypoints = self._descriptors = 0
        self._first_ns = self._last_ns = 0

    @property
    def covered(self) -> float:
        """Time of the recording that is done [s]."""
        return (self._last_ns - self._first_ns) / SECOND

    def write(self, bag: FeatureBag) -> None:
        """
        Write the features of all images; images that cannot be used are counted and left out.

        Raises ValueError if no image can be used, RuntimeError if the runtime failed.
        """
        with closing(prefetch(self._detected())) as detected:
            for recorded, result in detected:
                try:
                    self._write_one(bag, recorded, result)
                except (ValueError, cv2.error) as error:
                    self._count_failure(recorded, error)
                self._first_ns = self._first_ns if self._done else recorded.time_ns
                self._last_ns = recorded.time_ns
                self._done += 1
                self._report(self._done, self.covered)
        if self._failed == self._done:
            reasons = self._failures[:1] or self._images.missing
            reason = f'none of {self._done} images could be used: ' + '; '.join(reasons)
            raise ValueError(f'{self._job.bag}: {reason}')

    def summary(self, seconds: float) -> dict[str, Any]:
        """Figures of the extraction, which took `seconds` [s]."""
        return {
            'images': self._done - self._failed,
            'failed': self._failed,
            'failures': self._failures,
            'late': self._late,
            'warnings': self._warnings,
            'missing': [text[:FAILURE_LENGTH] for text in self._images.missing[:LISTED_FAILURES]],
            'keypoints': self._keypoints,
            'descriptors': self._descriptors,
            'restarts': sum(camera.restarts for camera in self._cameras.values()),
            'seconds': round(seconds, 3),
            'real_time_factor': round(self.covered / seconds, 3),
            'model': self._runtime.model,
            'runtime': self._runtime.name,
        }

    def _detected(self) -> Generator[tuple[RecordedImage, Detected | Exception], None, None]:
        """Detect in each image, or pass its error on; runs in the prefetch thread."""
        for recorded in self._images.recorded(self._job.topics):
            try:
                yield recorded, self._detect(recorded)
            except (ValueError, cv2.error) as error:
                yield recorded, error

    def _detect(self, recorded: RecordedImage) -> Detected:
        message = recorded.message()
        image = grey_image(message, self._ranges[recorded.topic])
        stamp = stamp_ns(message.header)
        camera = self._cameras[recorded.topic]
        return Detected(message.header, stamp, image, camera.detect(image, stamp))

    def _write_one(
        self, bag: FeatureBag, recorded: RecordedImage, result: Detected | Exception
    ) -> None:
        if isinstance(result, Exception):
            raise result
        camera = self._cameras[recorded.topic]
        features = camera.finish(result.image, result.stamp, result.detection)
        height, width = result.image.shape
        keypoints = features.keypoints
        common = (recorded.topic, recorded.time_ns, result.header, (height, width), keypoints)
        bag.add(*common, features.tracks)
        self._keypoints += len(keypoints)
        self._late += features.tracks is None
        if features.descriptors is not None:
            bag.add_descriptors(*common, features.descriptors, self._runtime.model)
            self._descriptors += 1

    def _warn_of(self, topic: str) -> Callable[[str], None]:
        return lambda text: self._warnings.append(f'{topic}: {text}')

    def _count_failure(self, recorded: RecordedImage, error: Exception) -> None:
        self._failed += 1
        if self._failed <= LISTED_FAILURES:
            self._failures.append(f'{recorded.name}: {error}'[:FAILURE_LENGTH])
