"""
Image sequences in the format of EuRoC: mav0/cam0/data.csv, pictures in mav0/cam0/data.

See https://projects.asl.ethz.ch/datasets/doku.php?id=kmavvisualinertialdatasets; TUM VI uses it,
too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from superpoint_rknn.features.image import MAX_FILE, decode_as_stored
from superpoint_rknn.files import read_regular
from superpoint_rknn.sources.messages import message_types
from superpoint_rknn.sources.storage import Connection, Message

IMAGE = 'sensor_msgs/msg/Image'
LARGEST_LIST = 2**26  # bytes of a data.csv
END_OF_TIME = 2**31 * 1_000_000_000  # [ns], of ROS


class EurocCamera:
    """One camera of a sequence, as a recording of the topic /cam0/image_raw: see Storage."""

    def __init__(self, folder: Path):
        """Raise OSError or ValueError if data.csv is no list of images."""
        self._folder = folder
        images = _read_list(folder / 'data.csv')
        self._images = [
            (time, file) for time, file in images if (folder / 'data' / file).is_file()
        ]
        self.missing: list[str] = []
        if lost := len(images) - len(self._images):
            self.missing.append(f'{folder.name}: {lost} of {len(images)} images of data.csv')
        self._connection = Connection(f'/{folder.name}/image_raw', IMAGE)
        self.counts = Counter({self._connection: len(self._images)})
        times = [time for time, _ in self._images]
        self.span = (min(times, default=0), max(times, default=0))

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Iterate over the images in order of time."""
        if self._connection.topic not in topics:
            return
        for time_ns, file in self._images:
            yield Message(time_ns, self._connection, self._read(time_ns, file))

    def _read(self, time_ns: int, file: str) -> bytes | ValueError:
        path = self._folder / 'data' / file
        try:
            image = decode_as_stored(np.frombuffer(read_regular(path, MAX_FILE), np.uint8))
        except (OSError, ValueError) as error:
            return ValueError(f'{file}: not a readable picture: {error}')
        encoding = ENCODINGS.get((image.ndim, image.dtype.str))
        if encoding is None:
            return ValueError(f'{file}: expected grey or BGR of 8 or 16 bits')
        return _message(time_ns, self._folder.name, image, encoding)


ENCODINGS = {  # of pictures as OpenCV reads them
    (2, '|u1'): 'mono8',
    (2, '<u2'): 'mono16',
    (3, '|u1'): 'bgr8',
    (3, '<u2'): 'bgr16',
}


def _read_list(path: Path) -> list[tuple[int, str]]:
    """
    Times [ns] and names of the images in a data.csv, in order of time.

    Raises OSError, or ValueError naming the line.
    """
    try:
        text = read_regular(path, LARGEST_LIST).decode(errors='replace')
    except ValueError as error:
        raise ValueError(f'{path.name}: {error}') from error
    images = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        time, _, file = (part.strip() for part in line.partition(','))
        if not (time.isascii() and time.isdecimal() and int(time) < END_OF_TIME):
            raise ValueError(f'{path.name}, line {number}: time {time[:40]!r}, expected [ns]')
        if not file or Path(file).name != file:  # another folder
            raise ValueError(f'{path.name}, line {number}: {file[:80]!r}, expected a file name')
        images.append((int(time), file))
    return sorted(images)


def _message(time_ns: int, frame: str, image: np.ndarray, encoding: str) -> bytes:
    """Serialise an image as sensor_msgs/Image."""
    store = message_types()
    types = store.types
    time = types['builtin_interfaces/msg/Time'](*divmod(time_ns, 1_000_000_000))
    height, width = image.shape[:2]
    message = types[IMAGE](
        header=types['std_msgs/msg/Header'](time, frame),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=image.nbytes // height,
        data=np.frombuffer(image.tobytes(), np.uint8),
    )
    return bytes(store.serialize_cdr(message, IMAGE))
