"""
Images that carry their number, a runtime that derives its outputs from it, and their checks.

The number of an image is in the lowest bit of each pixel, in the position of its spots, in the
scores of its keypoints, in the signs of its descriptors, in its stamp and its frame_id. A message
that combines two images, or a buffer that is overwritten while it is read, contradicts itself.
"""

import numpy as np

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.runtime import TensorSpec

HEIGHT, WIDTH = 64, 96  # [px] of the model input
ROWS, COLS = HEIGHT // 8, WIDTH // 8
UINT8 = np.dtype(np.uint8)
NUMBER_BITS, BITS = 22, 32  # the other bits are a checksum
CHECK = 0x9E3779B1
PERIOD = 20_000_000  # [ns] between the stamps of two images
SHIFTS = [(0, 0), (2, 2), (4, 0), (0, 2), (2, 0), (4, 2)]  # x, y [px] of successive images
# x, y [px] of the spots of an image without shift; none is near the middle, see `masks`
SPOTS = np.array([(x, y) for y in (14, 26, 38, 50) for x in (14, 26, 38, 62, 74, 86)])
NEAR = 0.9  # [px] from a spot to its keypoint or track
LOWEST, STEP = 0.1, 3e-6  # score of image 0, and difference of the next one
NEVER = -100.0  # logit of a pixel without a point
ZERO_POINT = 128
REPEATS = HEIGHT * WIDTH // BITS


def _codes_of(number):
    return number | ((number * CHECK) & 0xFFFFFFFF) >> NUMBER_BITS << NUMBER_BITS


def _bits_of(number):
    """The number with its checksum, (BITS,) uint8."""
    code = np.array([_codes_of(number)], '<u4')
    return np.unpackbits(code.view(np.uint8), bitorder='little')


def _number_of(bits):
    """Number of (BITS,) bits. Raises ValueError if the checksum is wrong."""
    (code,) = np.packbits(bits, bitorder='little').view('<u4')
    number = int(code) & (1 << NUMBER_BITS) - 1
    if _codes_of(number) != code:
        raise ValueError(f'checksum of {code:#x}')
    return number


def _window(shift):
    """Image with the spots moved by -shift, (HEIGHT, WIDTH) uint8; the lowest bits are 0."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    image = np.full((HEIGHT, WIDTH), 60.0)
    for n, (spot_x, spot_y) in enumerate(SPOTS - shift):
        distance = (x - spot_x) ** 2 + (y - spot_y) ** 2
        image += (100 + 3 * n) * np.exp(-distance / 4.5)
    return image.astype(np.uint8) & 0xFE


WINDOWS = [_window(shift) for shift in SHIFTS]


def spots_of(number):
    """x, y [px] of the spots of an image in the model input, (N, 2)."""
    return SPOTS - SHIFTS[number % len(SHIFTS)]


def write_image(number, out):
    """Write an image into (n * HEIGHT, n * WIDTH) uint8."""
    coded = WINDOWS[number % len(SHIFTS)] | np.tile(_bits_of(number), REPEATS).reshape(
        HEIGHT, WIDTH
    )
    scale = len(out) // HEIGHT
    out.reshape(HEIGHT, scale, WIDTH, scale)[:] = coded[:, None, :, None]


def read_image(image):
    """Number of an image, (HEIGHT, WIDTH) uint8. Raises ValueError if it is of several."""
    bits = (image & 1).reshape(REPEATS, BITS)
    number = _number_of(bits[0])
    if (bits != bits[0]).any() or (image & 0xFE != WINDOWS[number % len(SHIFTS)]).any():
        raise ValueError(f'pixels of another image than {number}')
    return number


def masks(scale):
    """Two masks of (scale * HEIGHT, scale * WIDTH): keypoints in the left or the right half."""
    left = np.zeros((scale * HEIGHT, scale * WIDTH), np.uint8)
    left[:, : scale * WIDTH // 2] = 255
    return left, 255 - left


def stamp_of(number):
    """Stamp of an image: seconds, nanoseconds."""
    return divmod((number + 1) * PERIOD, 10**9)


class NumberedRuntime:
    """
    Keypoints at the spots of the image, with its number in scores and descriptors.

    As those of an NPU, its outputs are buffers that each inference overwrites. The model input is
    read at the start and at the end.
    nap: called where another thread may come in between.
    """

    name, model, input_table = 'numbered 1.0', 'numbered@12345678', None
    input = TensorSpec('image', (1, 1, HEIGHT, WIDTH), UINT8, Quantization(1.0, 0, UINT8))
    logits = TensorSpec('semi', (1, 65, ROWS, COLS), np.dtype(np.float32))
    descriptors = TensorSpec(
        'desc', (1, BITS, ROWS, COLS), UINT8, Quantization(0.5, ZERO_POINT, UINT8)
    )

    def __init__(self, nap=lambda: None):
        self.stages_ms = {}
        self.errors = []  # texts
        self._nap = nap
        self._logits = np.empty(self.logits.shape[1:], np.float32)

    def infer(self, image, descriptors):
        try:
            number = read_image(image)
        except ValueError as error:
            self.errors.append(f'model input: {error}')
            number = 0
        before = image.copy()
        self._nap()
        if descriptors is not None:
            levels = ZERO_POINT - 20 + 40 * _bits_of(number)
            for half in (slice(0, 4), slice(4, None)):
                descriptors[:, half] = levels[:, None, None]
                self._nap()
        x, y = spots_of(number).T
        score = LOWEST + STEP * number
        self._logits[:] = NEVER
        self._logits[64] = 0
        self._logits[8 * (y % 8) + x % 8, y // 8, x // 8] = np.log(score / (1 - score))
        self._nap()
        if (image != before).any():
            self.errors.append(f'model input of {number}: overwritten during the inference')
        return self._logits

    def close(self):
        pass


class Checks:
    """
    Checks of published messages; `errors` has a text for each that mixes images.

    scale: of the camera image to the model input.
    """

    def __init__(self, scale):
        self.errors = []
        self.keypoints, self.tracks, self.descriptors = 0, 0, 0  # messages
        self._waiting = []  # tracks
        self.masked = set()  # numbers of points: the masks were changed if there are several
        self.snapped = 0  # tracks that have the score of a keypoint of their image
        self._scale = scale
        self._points = {}  # number of an image: its keypoints in the model input, (N, 2)

    def on_keypoints(self, message):
        self.keypoints += 1
        number = self._header(message.header)
        self._points[number] = self._check_points(number, message, 'keypoints')

    def on_descriptors(self, message):
        self.descriptors += 1
        number = self._header(message.header)
        self._check_points(number, message.keypoints, 'descriptors.keypoints')
        if self._header(message.keypoints.header) != number:
            self.errors.append(f'descriptors of {number}: header of their keypoints')
        if len(message.data) != len(message.keypoints.x) * message.dim:
            self.errors.append(f'descriptors of {number}: those of other points')
            return
        rows = np.array(message.data).reshape(-1, message.dim)
        if (np.packbits(rows > 0, axis=1, bitorder='little') != _packed(number)).any():
            self.errors.append(f'descriptors of {number}: values of another image')

    def on_tracks(self, message):
        self.tracks += 1
        self._waiting.append(message)

    def settle(self):
        """Check the tracks so far; call it when the keypoints of their images have arrived."""
        for message in self._waiting:
            self._check_tracks(message)
        self._waiting.clear()
        self._points.clear()

    def _check_tracks(self, message):
        number = self._header(message.header)
        x, y = self._to_input(message)
        near = _distances(x, y, spots_of(number))
        if len(x) and near.min(axis=1).max() > NEAR:
            self.errors.append(f'tracks of {number}: {near.min(axis=1).max():.2f} px off')
        scores = np.rint((np.array(message.score) - LOWEST) / STEP)
        if (scores > number).any():
            self.errors.append(f'tracks of {number}: score of a later image')
        points = self._points.get(number)
        if points is not None and len(points) and len(x):
            has_keypoint = _distances(x, y, points).min(axis=1) < NEAR
            self.snapped += int(has_keypoint.sum())
            if (scores[has_keypoint] != number).any():
                self.errors.append(f'tracks of {number}: keypoints of another image')

    def _header(self, header):
        number = (header.stamp.sec * 10**9 + header.stamp.nanosec) // PERIOD - 1
        if header.frame_id != str(number):
            self.errors.append(f'header: stamp of {number}, frame_id of {header.frame_id}')
        return number

    def _to_input(self, message):
        x, y = np.array(message.x), np.array(message.y)
        return (x + 0.5) / self._scale - 0.5, (y + 0.5) / self._scale - 0.5

    def _check_points(self, number, message, what):
        x, y = self._to_input(message)
        spots = spots_of(number)
        distances = _distances(x, y, spots)
        is_left = spots[:, 0] < WIDTH // 2
        found = distances.min(axis=0) < NEAR
        if len(x) != found.sum() or (distances.min(axis=1) > NEAR).any():
            self.errors.append(f'{what} of {number}: points of another image')
        self.masked.add(len(x))
        if not any((found == allowed).all() for allowed in (is_left, ~is_left, True)):
            self.errors.append(f'{what} of {number}: of two masks')
        if (np.rint((np.array(message.score) - LOWEST) / STEP) != number).any():
            self.errors.append(f'{what} of {number}: scores of another image')
        return np.stack([x, y], axis=1)


def _distances(x, y, points):
    """Distances of N points from M points, (N, M)."""
    return np.hypot(x[:, None] - points[:, 0], y[:, None] - points[:, 1])


def _packed(number):
    return np.packbits(_bits_of(number), bitorder='little')
