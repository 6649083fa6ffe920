"""Picture of a run: keypoints, tracks and matches over their images, with headings and legends."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from bag import Matches, Points
from PIL import Image, ImageDraw, ImageFont

from superpoint_rknn.nodes.common.overlay import AGES, COLOURS, Tails, score_colours

PANEL_WIDTH = 640  # [px] at most
GAP = 8  # [px] between panels; even, as video codecs require
BAR = 36  # [px] height of a heading
MARGIN = 10  # [px] left and right of the text of a heading
FONT_SIZE, SMALL_FONT_SIZE = 20, 17  # [px]
BACKGROUND, TEXT = (36, 30, 26), (240, 240, 240)  # BGR
SWATCH = (58, 22)  # [px] width, height of a colour of a legend
MAX_LINES = 60  # drawn matches
SHIFT = 4  # fractional bits of coordinates, for OpenCV


def panel_size(image_size: tuple[int, int], width: int = PANEL_WIDTH) -> tuple[int, int]:
    """
    Size of a panel for images, width and height [px]; both even, as video codecs require.

    image_size: height, width [px]. width: of the panel at most; smaller images are not enlarged.
    """
    image_height, image_width = image_size
    width = min(width, image_width)
    return max(2, width // 2 * 2), max(1, round(width * image_height / image_width / 2)) * 2


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image, (height, width) uint8, to a panel's size, width and height [px]."""
    smaller = image.shape[1] > size[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def draw_keypoints(panel: np.ndarray, points: Points) -> None:
    """Draw a circle around each keypoint, coloured by its score; panel: (height, width, 3) BGR."""
    _draw_circles(panel, _scaled(points.xy, points.image_size, panel), score_colours(points.score))


def draw_tracks(panel: np.ndarray, image_size: tuple[int, int], tails: Tails) -> None:
    """Draw a line along the last positions of each track, coloured by its age."""
    count, length, _ = tails.positions.shape
    xy = _scaled(tails.positions.reshape(-1, 2), image_size, panel).reshape(count, length, 2)
    colours = tails.colours()
    for colour in COLOURS:
        lines = list(xy[(colours == colour).all(axis=1)])
        cv2.polylines(panel, lines, False, colour.tolist(), 2, cv2.LINE_AA, SHIFT)
    _draw_circles(panel, xy[:, -1], colours)


class Canvas:
    """
    Keypoints and tracks above, matches below, each with a heading; figures at the bottom.

    image_size: height, width of the camera's images [px].
    picture: (height, width, 3) uint8 BGR. The images that are shown have the size of a panel.
    """

    def __init__(self, image_size: tuple[int, int]):
        self.panel_size = panel_size(image_size)
        self._image_size = image_size
        width, height = self.panel_size
        full = 2 * width + GAP
        shape = 3 * BAR + GAP + 2 * height, full, 3
        self.picture = np.full(shape, BACKGROUND, np.uint8)
        second = BAR + height + GAP
        self._keypoints = self.picture[BAR : BAR + height, :width]
        self._tracks = self.picture[BAR : BAR + height, width + GAP :]
        self._matches = self.picture[second + BAR : second + BAR + height]
        self._keypoints_bar = self.picture[:BAR, :width]
        self._tracks_bar = self.picture[:BAR, width + GAP :]
        self._matches_bar = self.picture[second : second + BAR]
        self._figures_bar = self.picture[-BAR:]
        _write_bar(self._matches_bar, 'Matches of descriptors: none yet')

    @property
    def without_figures(self) -> np.ndarray:
        """The picture without the figures at the bottom."""
        return self.picture[:-BAR]

    def show_keypoints(self, image: np.ndarray, points: Points) -> None:
        """Show the keypoints of an image, (height, width) uint8."""
        self._keypoints[:] = image[..., None]
        draw_keypoints(self._keypoints, points)
        _write_bar(self._keypoints_bar, f'{len(points.x)} keypoints', _score_legend())

    def show_tracks(self, image: np.ndarray, tails: Tails) -> None:
        """Show tracks with their tails on the newest image, (height, width) uint8."""
        self._tracks[:] = image[..., None]
        draw_tracks(self._tracks, self._image_size, tails)
        _write_bar(self._tracks_bar, f'{len(tails.positions)} tracks', _age_legend())

    def show_matches(self, older: np.ndarray, newer: np.ndarray, matches: Matches) -> None:
        """Show matches between two images, (height, width) uint8 each."""
        width, _ = self.panel_size
        self._matches[:, :width] = older[..., None]
        self._matches[:, width + GAP :] = newer[..., None]
        self._matches[:, width : width + GAP] = BACKGROUND
        # Evenly chosen from top to bottom.
        order = np.argsort(matches.first[:, 1], kind='stable')
        drawn = order[np.linspace(0, len(order) - 1, min(len(order), MAX_LINES)).astype(int)]
        first = _scaled(matches.first[drawn], self._image_size, newer)
        second = _scaled(matches.second[drawn], self._image_size, newer)
        second[:, 0] += (width + GAP) << SHIFT
        colours = _hues(np.linspace(0, 0.85, len(drawn)))
        for ends, colour in zip(np.stack([first, second], 1), colours.tolist(), strict=True):
            cv2.polylines(self._matches, [ends], False, colour, 1, cv2.LINE_AA, SHIFT)
        _draw_circles(self._matches, np.concatenate([first, second]), np.tile(colours, (2, 1)))
        _write_bar(
            self._matches_bar,
            f'{len(order)} matches of the descriptors of two images, {matches.seconds:.1f} s apart'
            + (f' ({len(drawn)} drawn)' if len(drawn) < len(order) else ''),
        )

    def show_figures(self, text: str) -> None:
        """Write a line of figures at the bottom."""
        _write_bar(self._figures_bar, text)


def _scaled(xy: np.ndarray, image_size: tuple[int, int], panel: np.ndarray) -> np.ndarray:
    """Positions in a panel from those in the image, in units of 2 ** -SHIFT px; int32."""
    scale = np.divide(panel.shape[:2], image_size)[::-1]
    # Pixel centres are integers.
    return np.rint(((xy + 0.5) * scale - 0.5) * (1 << SHIFT)).astype(np.int32)


def _draw_circles(panel: np.ndarray, centres: np.ndarray, colours: np.ndarray) -> None:
    for centre, colour in zip(centres.tolist(), colours.tolist(), strict=True):
        cv2.circle(panel, centre, 3 << SHIFT, colour, 2, cv2.LINE_AA, SHIFT)


def _hues(values: np.ndarray) -> np.ndarray:
    """Bright colours of hues 0..1, (N, 3) uint8 BGR."""
    hsv = np.zeros((len(values), 1, 3), np.uint8)
    hsv[:, 0] = np.stack([179 * values, np.full(len(values), 170), np.full(len(values), 255)], 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[:, 0] if len(hsv) else hsv[:, 0]


def _write_bar(bar: np.ndarray, text: str, legend: np.ndarray | None = None) -> None:
    """Write a text at the left of a heading, and a legend at its right if there is space."""
    bar[:] = BACKGROUND
    label = _label(text, FONT_SIZE, TEXT, BACKGROUND)
    width = min(label.shape[1], bar.shape[1] - MARGIN)
    bar[:, MARGIN : MARGIN + width] = label[:, :width]
    if legend is not None and legend.shape[1] < bar.shape[1] - width - 3 * MARGIN:
        bar[:, -MARGIN - legend.shape[1] : -MARGIN] = legend


@lru_cache(maxsize=128)
def _label(
    text: str, size: int, colour: tuple[int, ...], background: tuple[int, ...]
) -> np.ndarray:
    """Return a line of text, BAR high, uint8 BGR."""
    font = ImageFont.load_default(size)
    image = Image.new('RGB', (round(font.getlength(text)) + 1, BAR), background[::-1])
    ImageDraw.Draw(image).text((0, BAR / 2), text, colour[::-1], font, anchor='lm')
    return np.asarray(image)[..., ::-1]


@lru_cache
def _score_legend() -> np.ndarray:
    ramp = np.full((BAR, 160, 3), BACKGROUND, np.uint8)
    top = (BAR - SWATCH[1]) // 2
    ramp[top : top + SWATCH[1]] = score_colours(np.linspace(0, 1, ramp.shape[1]))
    return _row('score', '0', ramp, '1')


@lru_cache
def _age_legend() -> np.ndarray:
    ends = [*(AGES[1:] - 1).tolist(), None]
    names = ['1', *(f'{a}-{b}' if b else f'{a}+' for a, b in zip(AGES, ends, strict=True))]
    swatches = np.full((BAR, SWATCH[0] * len(names), 3), BACKGROUND, np.uint8)
    top = (BAR - SWATCH[1]) // 2
    for index, (name, colour) in enumerate(zip(names, COLOURS.tolist(), strict=True)):
        swatch = swatches[top : top + SWATCH[1], index * SWATCH[0] : (index + 1) * SWATCH[0] - 2]
        swatch[:] = colour
        label = _label(name, SMALL_FONT_SIZE, (0, 0, 0), tuple(colour))
        left = (swatch.shape[1] - label.shape[1]) // 2
        swatch[:, left : left + label.shape[1]] = label[top : top + SWATCH[1]]
    return _row('age', swatches, 'images')


def _row(*parts: str | np.ndarray) -> np.ndarray:
    """Put texts and pictures, BAR high, side by side."""
    space = np.full((BAR, 6, 3), BACKGROUND, np.uint8)
    pictures = [
        _label(part, SMALL_FONT_SIZE, TEXT, BACKGROUND) if isinstance(part, str) else part
        for part in parts
    ]
    return np.hstack([each for picture in pictures for each in (space, picture)])
