"""Video of a run: the results that had arrived when each image arrived, rates and latencies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from bag import TYPES, Header, Points, Recording, header_of, messages, points_of
from canvas import Canvas, resized

from superpoint_rknn.nodes.common.overlay import Tails
from superpoint_rknn.progress import tqdm
from superpoint_rknn.tracking.tracks import Tracks

KEPT = 5 * 10**9  # [ns] for which images are kept for results
WINDOW = 2 * 10**9  # [ns] of the rates and latencies that are shown
FIGURES_PERIOD = 5 * 10**8  # [ns] between changes of the figures


class Figures:
    """Rates and latencies of the messages of the last WINDOW, as text."""

    def __init__(self) -> None:
        self._arrived: dict[str, deque[tuple[int, float]]] = {topic: deque() for topic in TYPES}
        self._start: int | None = None  # arrival of the first message [ns]

    def add(self, topic: str, time_ns: int, stamp_ns: int) -> None:
        """Add a message by its arrival time and its stamp [ns]."""
        if self._start is None:
            self._start = time_ns
        self._arrived[topic].append((time_ns, (time_ns - stamp_ns) / 1e6))

    def text(self, now: int) -> str:
        """Figures at a time [ns]."""
        start = now if self._start is None else self._start
        seconds = max(1, min(WINDOW, now - start)) / 1e9
        parts = [f'{(now - start) / 1e9:.1f} s']
        for topic, arrived in self._arrived.items():
            while arrived and arrived[0][0] <= now - WINDOW:
                arrived.popleft()
            part = f'{topic} {len(arrived) / seconds:.1f} Hz'
            if topic in ('keypoints', 'tracks') and arrived:
                part += f', {median(latency for _, latency in arrived):.0f} ms'
            parts.append(part)
        return '     '.join(parts)


class Replay:
    """
    Show the messages of a run in the order in which they arrived.

    canvas: what was known when the last message arrived.
    """

    def __init__(self, recording: Recording):
        self.canvas = Canvas(recording.keypoints[0].points.image_size)
        self._matches = {m.newer: m for m in recording.matches}
        self._images: dict[Header, np.ndarray] = {}  # of the last KEPT, in the size of a panel
        self._tails = Tails()
        self._shown: set[str] = set()  # topics
        self._figures = Figures()
        self._figures_time = 0  # of the shown figures [ns]

    def add(self, topic: str, time_ns: int, message: Any) -> None:
        """Show a message that arrived at a time [ns]."""
        header = header_of(message)
        self._figures.add(topic, time_ns, header.stamp_ns)
        if topic == 'image':
            self._add_image(header, grey(message))
        elif topic == 'descriptors':
            self._show_matches(header)
        elif topic == 'keypoints':
            self._show_points(header, points_of(message))
        else:
            self._show_tracks(header, points_of(message), message.id, message.age)
        if time_ns - self._figures_time >= FIGURES_PERIOD:
            self._figures_time = time_ns
            self.canvas.show_figures(self._figures.text(time_ns))

    def _add_image(self, header: Header, image: np.ndarray) -> None:
        """Keep an image for its results; show it without them until the first ones arrive."""
        panel = self._images[header] = resized(image, self.canvas.panel_size)
        for old in [h for h in self._images if h.stamp_ns < header.stamp_ns - KEPT]:
            del self._images[old]
        if 'keypoints' not in self._shown:
            none = np.empty(0, np.float32)
            self.canvas.show_keypoints(panel, Points(header, image.shape, none, none, none))
        if 'tracks' not in self._shown:
            self.canvas.show_tracks(panel, self._tails)

    def _show_points(self, header: Header, points: Points) -> None:
        if header in self._images:
            self._shown.add('keypoints')
            self.canvas.show_keypoints(self._images[header], points)

    def _show_tracks(
        self, header: Header, points: Points, key: np.ndarray, age: np.ndarray
    ) -> None:
        self._tails.update(
            Tracks(key, age.astype(np.int64), points.x, points.y, points.score, key)
        )
        if header in self._images:
            self._shown.add('tracks')
            self.canvas.show_tracks(self._images[header], self._tails)

    def _show_matches(self, header: Header) -> None:
        matches = self._matches.get(header)
        if matches and matches.older in self._images and header in self._images:
            self.canvas.show_matches(self._images[matches.older], self._images[header], matches)


def grey(message: Any) -> np.ndarray:
    """Image of a mono8 message, (height, width) uint8."""
    return message.data.reshape(message.height, message.step)[:, : message.width]


def frames(bag: Path, recording: Recording) -> Iterator[np.ndarray]:
    """
    Pictures of a run, (height, width, 3) uint8 BGR: one for each image, when the next one arrives.

    Each is valid until the next one is taken.
    """
    replay, is_first = Replay(recording), True
    for topic, time_ns, message in messages(bag, *TYPES):
        if topic == 'image':
            if not is_first:
                yield replay.canvas.picture
            is_first = False
        replay.add(topic, time_ns, message)
    yield replay.canvas.picture


def write_video(path: Path, bag: Path, recording: Recording, rate: float) -> None:
    """Write a run as a video with a frame per image; rate: of the images [Hz]. OSError: failed."""
    height, width, _ = Canvas(recording.keypoints[0].points.image_size).picture.shape
    # MPEG-4 has a time base with a denominator of 16 bits.
    rate = max(1.0, round(rate, 1))
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate, (width, height))
    if not video.isOpened():
        raise OSError(f'{path}: OpenCV cannot write this video')
    shown = frames(bag, recording)
    for frame in tqdm(shown, path.name, len(recording.images), unit=' images', disable=None):
        video.write(frame)
    video.release()
