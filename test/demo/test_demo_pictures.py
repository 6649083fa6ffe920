"""Pictures and video of a run."""

import numpy as np
import pytest

demo_bag = pytest.importorskip('bag', reason='the demo records with the rosbags library')
canvas = pytest.importorskip('canvas', reason='the demo draws with Pillow')
pictures = pytest.importorskip('pictures')
video = pytest.importorskip('video')
from superpoint_rknn.nodes.common.overlay import AGES, COLOURS, Tails, score_colours  # noqa: E402
from superpoint_rknn.tracking.tracks import Tracks  # noqa: E402

SIZE = (200, 700)  # [px] height, width of the camera's images; a panel is 640x182
HEADER = demo_bag.Header(1, 0, '')


def points(*rows, size=SIZE):
    """Points of (x, y, score) each."""
    x, y, score = np.float32(rows).reshape(-1, 3).T
    return demo_bag.Points(HEADER, size, x, y, score)


def tails(*rows):
    """Tails of tracks of (age, first x, last x, y) each, of two images."""
    found, rows = Tails(), np.float32(rows).reshape(-1, 4)
    key = np.arange(len(rows))
    for x in rows.T[1:3]:
        found.update(Tracks(key, rows[:, 0].astype(int), x, rows[:, 3], x, key))
    return found


def drawn(picture):
    """Rows and columns of coloured pixels."""
    return np.nonzero(np.ptp(picture.astype(int), axis=2) > 100)


def test_a_circle_is_drawn_around_the_point_in_the_resized_image():
    panel = np.zeros((40, 100, 3), np.uint8)
    canvas.draw_keypoints(panel, points((24.5, 9.5, 1.0), size=(20, 50)))  # the middle
    rows, cols = np.nonzero(panel[..., 1])
    assert (rows.min() + rows.max(), cols.min() + cols.max()) == (39, 99)
    assert not panel[..., 2].any()  # green: the highest score


def test_no_points_and_no_tracks_are_drawn():
    panel = np.full((2, 2, 3), 7, np.uint8)
    canvas.draw_keypoints(panel, points())
    canvas.draw_tracks(panel, (2, 2), Tails())
    assert (panel == 7).all()


@pytest.mark.parametrize('bucket', range(len(COLOURS)))
def test_a_tail_has_the_colour_of_the_age_of_its_track(bucket):
    panel = np.zeros((60, 100, 3), np.uint8)
    canvas.draw_tracks(panel, (60, 100), tails(([1, *AGES][bucket], 10, 80, 30)))
    assert panel[30, 40].tolist() == COLOURS[bucket].tolist()
    assert not panel[20].any()


def test_the_parts_of_the_picture_are_drawn_apart():
    whole = canvas.Canvas(SIZE)
    width, height = whole.panel_size
    grey, middle = np.full((height, width), 90, np.uint8), width + canvas.GAP // 2
    second = canvas.BAR + height + canvas.GAP  # top of the matches' heading

    def changed(show, *arguments):
        before = whole.picture.copy()
        show(*arguments)
        rows, cols = np.nonzero((whole.picture != before).any(axis=2))
        return rows.min(), rows.max(), cols.min(), cols.max()

    top, bottom, left, right = changed(whole.show_keypoints, grey, points((5, 5, 0.5)))
    assert (bottom, left, right) == (second - canvas.GAP - 1, 0, width - 1)
    top, bottom, left, right = changed(whole.show_tracks, grey, tails((9, 5, 50, 40)))
    assert (bottom, left, right) == (second - canvas.GAP - 1, width + canvas.GAP, 2 * middle - 1)
    line = np.float32([[350, 100]])
    matches = demo_bag.Matches(HEADER, demo_bag.Header(3, 0, ''), line, line)
    top, bottom, left, right = changed(whole.show_matches, grey, grey, matches)
    assert top > second
    assert (bottom, left, right) == (second + canvas.BAR + height - 1, 0, 2 * middle - 1)
    rows, cols = drawn(whole.picture[second + canvas.BAR :])
    assert middle in cols  # a line from the left image to the right one
    assert set(rows[cols == middle]) <= {90, 91, 92}  # 100 of 200 px is 91 of 182
    top, bottom, left, right = changed(whole.show_figures, '1 Hz')
    assert top > second + canvas.BAR + height
    assert right < width
    assert whole.without_figures.shape[0] == second + canvas.BAR + height


def test_the_headings_have_the_numbers_and_the_legends():
    whole = canvas.Canvas(SIZE)
    grey = np.zeros(whole.panel_size[::-1], np.uint8)
    bars = []
    for count in (1, 2):
        whole.show_keypoints(grey, points(*[(5, 5, 0.5)] * count))
        bars.append(whole.picture[: canvas.BAR].copy())
    different = np.nonzero((bars[0] != bars[1]).any(axis=(0, 2)))[0]
    assert 0 < different.max() < 200  # the number at the left
    colours = {tuple(colour) for colour in bars[0].reshape(-1, 3).tolist()}
    assert {tuple(score_colours(np.array([s]))[0].tolist()) for s in (0.0, 1.0)} <= colours


def test_wide_images_are_shown_smaller_and_small_ones_in_their_size():
    assert canvas.panel_size((1080, 1920)) == (640, 360)
    assert canvas.panel_size((101, 201)) == (200, 100)


def test_rates_and_latencies_are_of_the_last_two_seconds():
    figures = video.Figures()
    for index in range(40):  # 10 Hz for 4 s, then 100 ms of latency
        figures.add('tracks', index * 10**8, index * 10**8 - (10**8 if index > 10 else 0))
    assert 'tracks 10.0 Hz, 100 ms' in figures.text(39 * 10**8)
    assert 'keypoints 0.0 Hz' in figures.text(39 * 10**8)
    assert 'tracks 0.0 Hz' in figures.text(60 * 10**8)


def test_pictures_are_tiled_row_by_row():
    numbered = [np.full((2, 3, 3), i, np.uint8) for i in range(3)]
    sheet = pictures.tile(numbered, columns=2)
    gap = pictures.GAP
    assert sheet.shape == (2 * 2 + gap, 2 * 3 + gap, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [0, 1, 2, 255]
