import numpy as np
import pytest
from sensor_msgs.msg import Image
from tracker_rig import TrackerRig, rotated_view

from superpoint_rknn.nodes.common.overlay import AGES, COLOURS, TAIL, Tails, draw_points
from superpoint_rknn.tracking.tracker import Tracks

GREY = np.full((60, 100), 90, np.uint8)


def tracks(*rows):
    """Tracks of (key, age, x, y) each."""
    key, age, x, y = np.array(rows, float).reshape(-1, 4).T
    x, y = x.astype(np.float32), y.astype(np.float32)
    return Tracks(
        key.astype(np.uint32), age.astype(np.uint32), x, y, np.ones_like(x), key.astype(np.int64)
    )


def drawn_pixels(canvas):
    """Pixels (x, y) that are not grey."""
    y, x = np.nonzero((canvas != 90).any(axis=2))
    return set(zip(x.tolist(), y.tolist(), strict=True))


def test_weak_points_are_red_and_strong_ones_green():
    x, y = np.float32([20, 45, 70]), np.float32([30, 30, 30])
    canvas = draw_points(GREY, x, y, np.float32([0, 0.25, 1]))
    assert canvas[30, 23].tolist() == [0, 0, 255]
    assert canvas[30, 48].tolist() == [0, 255, 255]
    assert canvas[30, 73].tolist() == [0, 255, 0]
    assert canvas[30, 20].tolist() == [90, 90, 90]


def test_a_tail_shows_the_last_positions_of_a_track():
    tails = Tails()
    for image in range(15):
        tails.update(tracks((7, image + 1, 10 + 5 * image, 30)))
    canvas = tails.draw(GREY)
    oldest = 10 + 5 * (15 - TAIL)
    assert {x for x, y in drawn_pixels(canvas) if y == 30} == {*range(oldest, 80), 80, 83}
    assert canvas.dtype == np.uint8
    assert (GREY == 90).all()


def test_a_new_track_is_a_circle_and_an_ended_one_is_not_drawn():
    tails = Tails()
    tails.update(tracks((1, 1, 20, 20)))
    tails.update(tracks((1, 2, 30, 20)))
    tails.update(tracks((2, 1, 70, 40)))
    assert drawn_pixels(tails.draw(GREY)) == drawn_pixels(
        draw_points(GREY, np.float32([70]), np.float32([40]), np.float32([1]))
    ) | {(70, 40)}


@pytest.mark.parametrize('bucket', range(len(COLOURS)))
def test_the_colour_depends_on_the_age(bucket):
    age = [1, *AGES][bucket]
    tails = Tails()
    tails.update(tracks((0, age, 50, 30)))
    assert tails.draw(GREY)[30, 53].tolist() == COLOURS[bucket].tolist()


def test_the_order_of_tracks_may_change():
    tails = Tails()
    tails.update(tracks((1, 9, 20, 10), (2, 9, 20, 50)))
    tails.update(tracks((2, 10, 40, 50), (1, 10, 40, 10), (3, 1, 90, 30)))
    pixels = drawn_pixels(tails.draw(GREY))
    assert {(x, 10) for x in range(20, 41)} | {(x, 50) for x in range(20, 41)} <= pixels
    assert not any(15 < y < 45 and x < 80 for x, y in pixels)


def test_clear_removes_all_tails():
    tails = Tails()
    tails.update(tracks((1, 1, 20, 20)))
    tails.clear()
    assert not drawn_pixels(tails.draw(GREY))
    tails.update(tracks((1, 2, 40, 20)))
    assert (30, 20) not in drawn_pixels(tails.draw(GREY))


def test_no_tracks_and_tracks_at_the_edge_can_be_drawn():
    tails = Tails()
    tails.update(tracks())
    assert not drawn_pixels(tails.draw(GREY))
    tails.update(tracks((1, 1, 0, 0), (2, 1, 99, 59)))
    tails.update(tracks((1, 2, -3, 0), (2, 2, 120, 80)))
    assert drawn_pixels(tails.draw(GREY))


def test_the_tracker_publishes_its_overlay_while_subscribed(graph, photo):
    rig = TrackerRig(graph)
    rig.start(photo, **{'overlay.rate': '1000.0'})
    overlays = graph.collect(Image, 'tracks_overlay')
    graph.wait(lambda: graph.node.count_publishers('tracks_overlay'), 'the overlay')

    def overlay_received():
        rig.track(photo)
        return overlays

    graph.wait(overlay_received, 'an overlay')
    view, _ = rotated_view(photo, (0, 0.02, 0))
    message, tracks = rig.track(view)
    graph.wait(lambda: overlays[-1].header == message.header, 'the overlay of this image')
    overlay = overlays[-1]
    assert overlay.encoding == 'bgr8'
    canvas = np.array(overlay.data, np.uint8).reshape(*view.shape, 3)
    changed = np.any(canvas != view[..., None], axis=2)
    oldest = np.argmax(tracks.age)
    x, y = round(tracks.x[oldest]), round(tracks.y[oldest])
    assert changed[y, x - 4 : x + 5].sum() > 4  # the tail is horizontal here, from the right
    assert 0.001 < changed.mean() < 0.2
