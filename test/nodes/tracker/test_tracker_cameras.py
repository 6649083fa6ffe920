"""The tracker with several cameras and with a stereo pair, in a real graph."""

import numpy as np
import pytest
from tracker_rig import STEP, TRACKER, TrackerRig, calibration, nanoseconds


@pytest.fixture
def rigs(graph):
    return [TrackerRig(graph, name) for name in ('cam0', 'cam1')]


def start(rigs, **parameters):
    graph = rigs[0].graph
    names = ','.join(rig.name for rig in rigs)
    process = graph.start(*TRACKER, cameras=f'[{names}]', **parameters)
    for rig in rigs:
        graph.wait(rig.camera.get_subscription_count, 'the tracker to take images')
    return process


def at(messages, stamp):
    """The message with a stamp, if it has come."""
    return next((m for m in reversed(messages) if nanoseconds(m) == stamp), None)


def observations(cloud):
    """{(id, camera): (u, v)}, as VINS-Fusion reads it."""
    ids, cameras, u, v = (c.values for c in cloud.channels[:4])
    keys = zip(map(int, ids), map(int, cameras), strict=True)
    found = dict(zip(keys, zip(u, v, strict=True), strict=True))
    assert len(found) == len(ids)
    return found


def balanced(rig):
    counts = {k: int(v) for k, v in rig.counts().items() if v.isdigit()}
    assert counts['received'] == counts['published'] + counts['dropped'] + counts['failed']
    return counts


def test_a_stereo_pair_has_the_same_ids_in_both_images(rigs, photo, right_photo):
    left, right = rigs
    left.detect()
    graph = left.graph
    process = start(rigs, stereo='true', keypoints_wait=2.0, **{'feature.format': 'vins_fusion'})

    def see(right_image, **fields):
        """Show both cameras a moment, the right one 2 ms late or not; returns its stamp."""
        stamp = nanoseconds(left.send(photo, calibration()))
        if right_image is not None:
            right.stamp = stamp
            right.send(right_image, calibration(), step=2 * 10**6, **fields)
        return stamp

    def both():
        stamp = see(right_photo)
        return graph.spin(
            lambda: at(right.tracks, stamp + 2 * 10**6) and at(left.features, stamp), 4.0
        )

    graph.wait(both, 'tracks in both images')
    for rig in rigs:
        rig.diagnostics.clear()
    graph.wait(lambda: all(len(rig.diagnostics) > 1 for rig in rigs), 'diagnostics')
    unheard = balanced(right)['published'] - len(right.tracks)  # before its topic was connected
    graph.wait(lambda: both() and observations(left.features[-1]), 'features')
    graph.wait(lambda: both() and any(c for _, c in observations(left.features[-1])), 'camera 1')
    stamp = nanoseconds(left.features[-1])
    in_left, in_right = at(left.tracks, stamp), at(right.tracks, stamp + 2 * 10**6)
    rows = zip(in_left.x, in_left.y, in_left.age, strict=True)
    places = dict(zip(in_left.id, rows, strict=True))
    assert len(in_right.id) > 0.5 * len(in_left.id)
    assert set(in_right.id) <= set(places)
    matched = np.array([places[i] for i in in_right.id])
    assert list(matched[:, 2]) == list(in_right.age)
    disparity = matched[:, 0] - in_right.x
    assert np.mean((disparity > 3) & (disparity < 80)) > 0.95
    assert np.median(np.abs(matched[:, 1] - in_right.y)) < 0.5

    seen = observations(at(left.features, stamp))
    assert {i for i, camera in seen if camera == 1} <= {i for i, camera in seen if camera == 0}
    right_places = dict(zip(in_right.id, zip(in_right.x, in_right.y, strict=True), strict=True))
    pixels = [p for (_, camera), p in seen.items() if camera == 1]
    assert len(pixels) > 50
    assert set(pixels) <= set(right_places.values())

    before = len(right.tracks)
    stamp = see(None)  # the right camera misses a moment
    graph.wait(lambda: at(left.features, stamp), 'features of the left image alone')
    assert {camera for _, camera in observations(at(left.features, stamp))} == {0}
    stamp = see(right_photo, encoding='nonsense')
    graph.wait(lambda: at(left.features, stamp), 'features of the left image alone')
    assert {camera for _, camera in observations(at(left.features, stamp))} == {0}
    assert at(left.tracks, stamp)
    assert len(right.tracks) == before
    stamp = see(right_photo)
    graph.wait(lambda: at(right.tracks, stamp + 2 * 10**6), 'the right image again')
    for rig in rigs:
        rig.diagnostics.clear()
    graph.wait(lambda: all(len(rig.diagnostics) > 1 for rig in rigs), 'diagnostics')
    assert balanced(left)['without_right'] >= 1
    assert balanced(right)['failed'] == 1
    assert balanced(right)['published'] - unheard == len(right.tracks)
    assert '/cam1/image: image refused' in process.log.read_text()
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    assert 'Traceback' not in process.log.read_text()


@pytest.mark.parametrize('style', ['vins_mono', 'vins_fusion'])
def test_several_cameras_never_share_an_id_in_features(rigs, photo, style):
    for rig in rigs:
        rig.detect()
    start(rigs, **{'feature.format': style})
    graph = rigs[0].graph
    rigs[1].stamp += STEP // 2

    def cameras():
        """Numbers of the cameras of all points sent."""
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
        assert cameras() == {0}  # it knows one camera, or one pair
        return
    graph.wait(lambda: cameras() == {0, 1}, 'features of both')
    ids = [set(), set()]
    for cloud in rigs[0].features:
        values = [int(v + 0.5) for v in cloud.channels[0].values]
        assert len({v % 2 for v in values}) <= 1  # of one camera each
        for value in values:
            ids[value % 2].add(value // 2)
    assert not ids[0] & ids[1]


def test_bad_cameras_are_refused_with_the_reason(graph):
    process = graph.start(*TRACKER, cameras='[a, b, c]', stereo='true')
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the refusal')
    assert "stereo: 3 cameras, ['a', 'b', 'c'], expected pairs" in process.log.read_text()
    assert graph.interrupt(process)[0] == 0
