"""What one camera's messages become in the viewer."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.evaluate.metrics import mutual_neighbours
from superpoint_rknn.features.rate import SECOND, RateLimiter
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage, nanoseconds
from superpoint_rknn.nodes.common.overlay import Tails, score_colours
from superpoint_rknn.nodes.tracker.messages import descriptor_rows, points_of, tracks_of
from superpoint_rknn.view import records

IMAGE_RATE = 10.0  # [Hz] at most of images with keypoints, and of those with tracks
MATCHES_RATE = 5.0  # [Hz] at most of matches
BYTES_PER_SECOND = 3_000_000  # at most, of each picture
NO_KEYPOINTS = SECOND  # [ns] without keypoints after which images are shown without them
MAX_IMAGES = 90  # kept until keypoints, tracks and descriptors of the same stamp arrive
MAX_BYTES = 100_000_000  # of the kept images
MAX_LATENCY = 10 * SECOND  # [ns]; stamps of a recording are further from the clock


class Picture:
    """
    An image with what is drawn over it, shown at most IMAGE_RATE times a second, large ones less.

    entity: name of its records.
    """

    def __init__(self, entity: str, send: Callable[..., None]):
        self.entity = entity
        self._send = send
        self._limiter = RateLimiter()
        self._bytes = 0  # of the image that was shown last
        self._missing: int | None = None  # stamp of the image that is shown when it arrives [ns]

    def is_due(self) -> bool:
        """Return whether it is time for the next image, which `show` must show then."""
        rate = bounded_rate(IMAGE_RATE, self._bytes)
        return self._limiter.select_if_due(time.monotonic_ns(), rate)

    def show(self, stamp: int, image: ReceivedImage | None, *drawings: records.Record) -> None:
        """Show drawings on the image with a stamp [ns]; None: on that of `complete`."""
        self._missing = stamp if image is None else None
        parts = []
        if image is not None:
            grey = image.grey()
            self._bytes = grey.size
            parts = [records.image(grey)]
        self._send(records.picture(self.entity, time.time(), *parts, *drawings))

    def complete(self, image: ReceivedImage) -> None:
        """Show an image if its drawings were shown without it."""
        if image.stamp == self._missing:
            self.show(image.stamp, image)


def bounded_rate(most: float, size: int) -> float:
    """Return the rate [Hz] of pictures of a size [bytes], at most `most`."""
    return min(most, BYTES_PER_SECOND / max(1, size))


class CameraView:
    """
    Turn the messages of one camera into records. Not thread-safe.

    Keypoints and tracks are pictures of their own, since tracks may be of a newer image.
    name: of the camera, a part of the names of its records.
    send: called with records. now_ns: clock of the stamps [ns].
    size: (width, height) [px] of the newest image; (0, 0) before the first.
    pictures: names of the pictures that were shown: keypoints, tracks, matches.
    """

    def __init__(self, name: str, send: Callable[..., None], now_ns: Callable[[], int]):
        self.entity = f'/cameras/{name}'
        self.size = (0, 0)
        self.pictures = {'keypoints'}
        self._name = name
        self._send = send
        self._now_ns = now_ns
        self._images: OrderedDict[int, ReceivedImage] = OrderedDict()  # by stamp [ns]
        self._bytes = 0  # of the kept images
        self._keypoints = Picture(f'{self.entity}/keypoints', send)
        self._tracks = Picture(f'{self.entity}/tracks', send)
        self._matches_limiter = RateLimiter()
        self._keypoints_time = -NO_KEYPOINTS  # of the newest keypoints [ns], monotonic
        self._tails = Tails()
        self._described: tuple[int, str, np.ndarray, np.ndarray] | None = None
        self._counts: Counter[str] = Counter()  # messages since the last report
        self._latencies_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._numbers: dict[str, int] = {}  # of newest points by kind
        self._since = time.monotonic()  # of the last report [s]

    def on_image(self, message: Image | CompressedImage) -> None:
        """Keep an image for its results; show it without them if there are none."""
        stamp = self._count('image', message)
        kept = self._images.pop(stamp, None)
        image = self._images[stamp] = ReceivedImage(message)
        self._bytes += len(message.data) - (len(kept.message.data) if kept else 0)
        while len(self._images) > MAX_IMAGES or self._bytes > MAX_BYTES:
            self._bytes -= len(self._images.popitem(last=False)[1].message.data)
        for picture in (self._keypoints, self._tracks):
            picture.complete(image)
        is_alone = time.monotonic_ns() - self._keypoints_time > NO_KEYPOINTS
        if is_alone and self._keypoints.is_due():
            self._keypoints.show(stamp, image)

    def on_keypoints(self, message: Keypoints) -> None:
        """Show keypoints on their image, if it is time for the next one."""
        stamp = self._count('keypoints', message)
        self._keypoints_time = time.monotonic_ns()
        self.size = message.width, message.height
        points = points_of(message)
        if not self._keypoints.is_due():
            return
        xy = np.stack([points.x, points.y], axis=1)
        drawing = records.points(xy, score_colours(points.score))
        self._keypoints.show(stamp, self._images.get(stamp), drawing)
        self._numbers['keypoints'] = len(xy)

    def on_tracks(self, message: Keypoints) -> None:
        """Prolong the tails of the tracks; show them, if it is time for the next image."""
        stamp = self._count('tracks', message)
        self._tails.update(tracks_of(message))
        if not self._tracks.is_due():
            return
        positions, colours = self._tails.positions, self._tails.colours()
        drawings = records.lines(positions, colours), records.points(positions[:, -1], colours)
        self._tracks.show(stamp, self._images.get(stamp), *drawings)
        self._numbers['tracks'] = len(positions)
        self.pictures.add('tracks')

    def on_descriptors(self, message: Descriptors) -> None:
        """Show the matches with the keypoints of the message before."""
        stamp = self._count('descriptors', message)
        rows, points = descriptor_rows(message), points_of(message.keypoints)
        xy = np.stack([points.x, points.y], axis=1)
        before, self._described = self._described, (stamp, message.model, xy, rows)
        if before is None or before[1] != message.model or before[3].shape[1] != message.dim:
            return
        images = [self._images.get(each) for each in (before[0], stamp)]
        now, (width, height) = time.monotonic_ns(), self.size
        rate = bounded_rate(MATCHES_RATE, 2 * width * height)
        if not self._matches_limiter.is_due(now, rate):
            return
        if images[0] is None or images[1] is None:
            return
        self._matches_limiter.select(now, rate)
        i, j = mutual_neighbours(before[3], rows)
        pictures = [images[0].grey(), images[1].grey()]
        self._send(records.matches(self.entity, time.time(), pictures, before[2][i], xy[j]))
        self._numbers['matches'] = len(i)
        self.pictures.add('matches')

    def report(self) -> None:
        """Send rates, latencies and numbers of points since the last report."""
        now = time.monotonic()
        period, self._since = now - self._since, now
        rates = {kind: count / period for kind, count in self._counts.items()}
        latencies = {kind: median(values) for kind, values in self._latencies_ms.items() if values}
        self._counts = Counter(dict.fromkeys(self._counts, 0))
        self._latencies_ms.clear()
        plots: dict[str, Mapping[str, float]] = {
            'rates': rates,
            'latency_ms': latencies,
            'counts': self._numbers,
        }
        for plot, values in plots.items():
            self._send(records.scalars(f'/{plot}/{self._name}', time.time(), values))
        self._numbers = {}

    def _count(self, kind: str, message: Image | CompressedImage | Keypoints | Descriptors) -> int:
        """Count a message and note its latency; return its stamp [ns]."""
        stamp = nanoseconds(message.header.stamp)
        self._counts[kind] += 1
        latency = self._now_ns() - stamp
        if 0 <= latency < MAX_LATENCY:
            self._latencies_ms[kind].append(latency / 1e6)
        return stamp
