"""The tracker with several cameras and with a stereo pair, in a real graph."""

import numpy as np
import pytest
from tracker_rig import STEP, TRACKER, TrackerRig, calibration, stamp_ns

from superpoint_rknn.nodes.common.diagnostics import counts_of


@pytest.fixture
def rigs(graph):
    return [TrackerRig(graph, name) for name in ('cam0', 'cam1')]


def start(rigs, **parameters):
    graph = rigs[0].graph
    names = ','.join(rig.name for rig in rigs)
    process = graph.start(*TRACKER, cameras=f'[{names}]', **parameters)
    for rig in rigs:
        graph.wait(rig.camera.get_subscription_count, 'the tracker to subscribe to images')
    return process


def find(messages, stamp):
    """The message with this stamp [ns], or None."""
    return next((m for m in reversed(messages) if stamp_ns(m) == stamp), None)


def observations(cloud):
    """{(id, camera): (u, v)} of a message for VINS-Fusion."""
    ids, cameras, u, v = (c.values for c in cloud.channels[:4])
    keys = zip(map(int, ids), map(int, cameras), strict=True)
    found = dict(zip(keys, zip(u, v, strict=True), strict=True))
    assert len(found) == len(ids)
    return found


def checked_counts(rig):
    counts = counts_of(rig.status())
    assert counts['received'] == counts['published'] + counts['dropped'] + counts['failed']
    return counts


def test_a_stereo_pair_has_the_same_ids_in_both_images(rigs, photo, right_photo):
    left, right = rigs
    left.add_detector()
    graph = left.graph
    process = start(
        rigs,
        stereo='true',
        keypoints_wait=2.0,
        **{'feature.format': 'vins_fusion', 'feature.rate': 0.0},
    )

    def publish_pair(right_image, **fields):
        """Publish a left image and, 2 ms later, a right one or none; return the left stamp."""
        stamp = stamp_ns(left.send(photo, calibration()))
        if right_image is not None:
            right.stamp = stamp
            right.send(right_image, calibration(), step=2 * 10**6, **fields)
        return stamp

    def pair_is_tracked():
        stamp = publish_pair(right_photo)
        return graph.spin(
            lambda: find(right.tracks, stamp + 2 * 10**6) and find(left.features, stamp), 4.0
        )

    graph.wait(pair_is_tracked, 'tracks in both images')
    for rig in rigs:
        rig.diagnostics.clear()
    graph.wait(lambda: all(len(rig.diagnostics) > 1 for rig in rigs), 'diagnostics')
    # Tracks that were published before the topic was connected.
    missed = checked_counts(right)['published'] - len(right.tracks)
    graph.wait(lambda: pair_is_tracked() and observations(left.features[-1]), 'features')
    graph.wait(
        lambda: pair_is_tracked() and any(c for _, c in observations(left.features[-1])),
        'camera 1',
    )
    stamp = stamp_ns(left.features[-1])
    in_left, in_right = find(left.tracks, stamp), find(right.tracks, stamp + 2 * 10**6)
    rows = zip(in_left.x, in_left.y, in_left.age, strict=True)
    places = dict(zip(in_left.id, rows, strict=True))
    assert len(in_right.id) > 0.5 * len(in_left.id)
    assert set(in_right.id) <= set(places)
    matched = np.array([places[i] for i in in_right.id])
    assert list(matched[:, 2]) == list(in_right.age)
    disparity = matched[:, 0] - in_right.x
    assert np.mean((disparity > 3) & (disparity < 80)) > 0.95
    assert np.median(np.abs(matched[:, 1] - in_right.y)) < 0.5

    seen = observations(find(left.features, stamp))
    assert {i for i, camera in seen if camera == 1} <= {i for i, camera in seen if camera == 0}
    right_places = dict(zip(in_right.id, zip(in_right.x, in_right.y, strict=True), strict=True))
    pixels = [p for (_, camera), p in seen.items() if camera == 1]
    assert len(pixels) > 50
    assert set(pixels) <= set(right_places.values())

    before = len(right.tracks)
    stamp = publish_pair(None)
    graph.wait(lambda: find(left.features, stamp), 'features of the left image alone')
    assert {camera for _, camera in observations(find(left.features, stamp))} == {0}
    stamp = publish_pair(right_photo, encoding='nonsense')
    graph.wait(lambda: find(left.features, stamp), 'features of the left image alone')
    assert {camera for _, camera in observations(find(left.features, stamp))} == {0}
    assert find(left.tracks, stamp)
    assert len(right.tracks) == before
    stamp = publish_pair(right_photo)
    graph.wait(lambda: find(right.tracks, stamp + 2 * 10**6), 'the right image again')
    stamp = publish_pair(None)
    left.send(photo, step=-STEP // 2)  # late: the pair stays whole
    left.stamp = right.stamp = stamp
    right.send(right_photo, step=2 * 10**6)
    graph.wait(lambda: find(right.tracks, stamp + 2 * 10**6), 'the pair with a late image')
    for rig in rigs:
        rig.diagnostics.clear()
    graph.wait(lambda: all(len(rig.diagnostics) > 1 for rig in rigs), 'diagnostics')
    assert checked_counts(left)['without_right'] >= 1
    assert checked_counts(left)['late_images'] == 1
    assert checked_counts(right)['failed'] == 1
    assert checked_counts(right)['published'] - missed == len(right.tracks)
    assert '/cam1/image: image refused' in process.log.read_text()
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    assert 'Traceback' not in process.log.read_text()


def test_one_camera_of_a_pair_goes_on_alone_while_the_other_is_silent(rigs, photo, right_photo):
    for rig in rigs:
        rig.add_detector()
    left, right = rigs
    graph = left.graph
    given = {'mono_fallback': 'true', 'feature.format': 'vins_fusion', 'feature.rate': 0.0}
    process = start(rigs, stereo='true', keypoints_wait=10.0, **given)  # longer than any wait here
    log = process.log.read_text

    def track_pair():
        right.stamp = left.stamp
        right.send(right_photo, calibration())
        stamp = stamp_ns(left.send(photo, calibration()))
        return graph.spin(lambda: find(right.tracks, stamp) and find(left.features, stamp), 4.0)

    def status(rig):
        rig.diagnostics.clear()
        graph.wait(lambda: rig.diagnostics, 'diagnostics')
        return next(s.message for s in rig.diagnostics[-1].status if s.name.endswith(rig.name))

    def track_alone(rig, image, text):
        graph.wait(
            lambda: rig.send(image, calibration()) and graph.spin(lambda: text in log(), 0.3), text
        )
        ages = []
        for _ in range(3):
            stamp = stamp_ns(rig.send(image, calibration()))
            assert graph.spin(lambda stamp=stamp: find(rig.tracks, stamp), 8.0), 'it waits'
            ages.append(max(find(rig.tracks, stamp).age))
        assert ages[1:] == [ages[0] + 1, ages[0] + 2]
        assert text in status(rig)

    graph.wait(track_pair, 'tracks in both images')
    before = len(right.tracks)
    track_alone(left, photo, 'those of /cam0/image are processed alone')
    assert 'no images of /cam1/image for' in status(left)
    assert len(right.tracks) == before
    assert left.restarts == []
    graph.wait(track_pair, 'tracks in both images again')
    assert max(left.tracks[-1].age) > 4

    seen = len(left.features)
    right.stamp = left.stamp
    track_alone(right, right_photo, 'those of /cam1/image are processed alone')
    assert 'all tracks end; new ones begin in cam1/image' in log()
    assert len(left.features) == seen
    graph.wait(lambda: len(left.restarts) == 1, 'restart')
    left.stamp = right.stamp
    graph.wait(track_pair, 'tracks in both images again')
    assert 'all tracks end; new ones begin in cam0/image' in log()
    for rig in rigs:
        rig.diagnostics.clear()
    graph.wait(lambda: all(len(rig.diagnostics) > 1 for rig in rigs), 'diagnostics')
    for rig in rigs:
        checked_counts(rig)


@pytest.mark.parametrize('style', ['vins_mono', 'vins_fusion'])
def test_ids_in_features_are_unique_across_cameras(rigs, photo, style):
    for rig in rigs:
        rig.add_detector()
    start(rigs, **{'feature.format': style, 'feature.rate': 0.0})
    graph = rigs[0].graph
    rigs[1].stamp += STEP // 2

    def cameras():
        """Numbers of the cameras of all points received."""
        if style == 'vins_fusion':
            return {camera for cloud in rigs[0].features for _, camera in observations(cloud)}
        return {int(v) % 2 for cloud in rigs[0].features for v in cloud.channels[0].values}

    for rig in rigs:
        rig.warm_up(photo)
    for _ in range(5):
        for rig in rigs:
            _, tracks = rig.track(photo, calibration())
            assert len(tracks.id) > 50
    if style == 'vins_fusion':
        assert cameras() == {0}  # VINS-Fusion supports one camera or one pair
        return
    graph.wait(lambda: cameras() == {0, 1}, 'features of both')
    ids = [set(), set()]
    for cloud in rigs[0].features:
        values = [int(v + 0.5) for v in cloud.channels[0].values]
        assert len({v % 2 for v in values}) <= 1  # of one camera each
        for value in values:
            ids[value % 2].add(value // 2)
    assert not ids[0] & ids[1]


def test_invalid_cameras_leave_the_node_unconfigured(graph):
    process = graph.start(*TRACKER, cameras='[a, b, c]', stereo='true')
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the error')
    assert "stereo: 3 cameras, ['a', 'b', 'c'], expected an even number" in process.log.read_text()
    assert graph.interrupt(process)[0] == 0
