"""Messages for VINS-Fusion and VINS-Mono: values computed by hand, and a small estimator."""

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header

from superpoint_rknn.nodes.tracker.vins import (
    EXACT,
    FeatureIds,
    Observations,
    VinsAdapter,
    feature_message,
    features_of,
    observe,
)
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracks

CAMERA_MODEL = CameraModel([400, 0, 320, 0, 400, 200, 0, 0, 1], 'plumb_bob', [])
MS = 1_000_000


def tracks(**points):
    """Tracks by key: k7=(x, y) or k7=(x, y, age)."""
    rows = [(int(name[1:]), *place, 2)[:4] for name, place in points.items()]
    key, x, y, age = np.array(rows, np.float64).reshape(-1, 4).T
    return Tracks(
        key.astype(np.uint32),
        age.astype(np.uint32),
        x.astype(np.float32),
        y.astype(np.float32),
        np.ones(len(key), np.float32),
        key.astype(np.int64),
    )


def test_observations_of_an_image():
    first = observe(0, tracks(k4=(320, 200), k7=(520, 100)), CAMERA_MODEL, None)
    assert first.key.tolist() == [4, 7]
    assert first.pixel.tolist() == [[320, 200], [520, 100]]
    assert first.direction.tolist() == [[0, 0], [0.5, -0.25]]
    assert first.velocity.tolist() == [[0, 0], [0, 0]]
    second = observe(100 * MS, tracks(k7=(520, 120), k9=(9, 9)), CAMERA_MODEL, first)
    assert second.velocity == pytest.approx(np.array([[0, 0.5], [0, 0]]))  # 20 / 400 in 0.1 s


def test_the_share_of_tracks_without_a_direction():
    adapter = VinsAdapter('vins_fusion')
    assert adapter.without_direction == 0
    adapter.update(0, tracks(k1=(320, 200), k2=(520, 100)), CAMERA_MODEL)
    assert adapter.without_direction == 0
    wild = CameraModel(CAMERA_MODEL.matrix, 'plumb_bob', [1e5, -1e5, 1e5, 1e5, 1e5])
    adapter.update(MS, tracks(k1=(320, 200), k2=(520, 100), k3=(20, 20), k4=(600, 30)), wild)
    assert adapter.without_direction == 0.75


def test_features_have_an_id_and_a_direction_in_the_order_of_the_ids():
    direction = np.array([[0.1, 0.2], [np.nan, 0.3], [0.4, 0.5]])
    rows = np.arange(6.0).reshape(3, 2)
    features = features_of(
        Observations(0, np.array([7, 8, 9]), rows, direction, -rows),
        {9: 90, 8: 80, 7: 70, 6: 60},
        1,
    )
    assert features.id.tolist() == [90, 70]
    assert features.camera.tolist() == [1, 1]
    assert features.pixel.tolist() == [[4, 5], [0, 1]]
    assert features.direction.tolist() == [[0.4, 0.5], [0.1, 0.2]]
    assert features.velocity.tolist() == [[-4, -5], [0, -1]]


def test_message_for_vins_fusion():
    adapter = VinsAdapter('vins_fusion')
    first = adapter.update(0, tracks(k4=(320, 200), k7=(520, 100)), CAMERA_MODEL)
    assert first.velocity.tolist() == [[0, 0], [0, 0]]
    second = adapter.update(50 * MS, tracks(k4=(330, 200), k9=(120, 300)), CAMERA_MODEL)
    header = Header(frame_id='camera_optical')
    header.stamp.nanosec = 50 * MS
    message = feature_message(header, second, 'vins_fusion')
    assert message.header == header
    points = [(p.x, p.y, p.z) for p in message.points]
    assert points == [pytest.approx((0.025, 0, 1)), pytest.approx((-0.5, 0.25, 1))]
    assert all(p.z == 1.0 for p in message.points)
    channels = [list(c.values) for c in message.channels]
    assert len(channels) == 9
    assert channels[0] == [4, 9]
    assert channels[1] == [0, 0]
    assert channels[2] == [330, 120]
    assert channels[3] == [200, 300]
    assert channels[4] == pytest.approx([0.5, 0])  # 0.025 in 50 ms
    assert channels[5] == [0, 0]
    assert channels[6:] == [[0, 0]] * 3


def test_message_for_vins_mono():
    adapter = VinsAdapter('vins_mono', cameras=2, numbers=(1,))
    assert adapter.update(0, tracks(k4=(320, 200, 1)), CAMERA_MODEL) is None
    seen = tracks(k4=(320, 220, 2), k5=(10, 10, 1), k3=(520, 200, 9))
    features = adapter.update(100 * MS, seen, CAMERA_MODEL)
    header = Header(frame_id='camera_optical')
    message = feature_message(header, features, 'vins_mono', cameras=2)
    assert message.header.frame_id == 'world'
    assert message.header.stamp == header.stamp
    channels = [list(c.values) for c in message.channels]
    assert len(channels) == 5
    decoded = [int(v + 0.5) for v in channels[0]]
    # as the estimator does; of two cameras the second one's ids are the odd ones
    assert [(v // 2, v % 2) for v in decoded] == [(7, 1), (9, 1)]
    assert channels[1:3] == [[520, 320], [200, 220]]
    assert channels[3] == [0, 0]
    assert channels[4] == pytest.approx([0, 0.5])
    assert [(p.x, p.y, p.z) for p in message.points] == [
        pytest.approx((0.5, 0, 1)),
        pytest.approx((0, 0.05, 1)),
    ]


def test_messages_of_a_stereo_pair():
    left = tracks(k4=(320, 200), k7=(520, 100), k2=(120, 300))
    right = tracks(k7=(500, 100), k4=(310, 200))
    wide = CameraModel([200, 0, 320, 0, 200, 200, 0, 0, 1], 'plumb_bob', [])
    fusion = VinsAdapter('vins_fusion', cameras=2, numbers=(0, 1))
    fusion.update(0, left, CAMERA_MODEL, right=(right, wide))
    moved = tracks(k7=(520, 120), k4=(310, 200))
    features = fusion.update(100 * MS, left, CAMERA_MODEL, right=(moved, wide))
    channels = feature_message(Header(), features, 'vins_fusion', 2).channels
    assert len(channels) == 9
    assert list(channels[0].values) == [2, 4, 7, 4, 7]
    assert list(channels[1].values) == [0, 0, 0, 1, 1]  # VINS-Fusion asserts: left first
    assert list(channels[2].values) == [120, 320, 520, 310, 520]
    assert features.direction[3:].tolist() == [[-0.05, 0], [1, -0.4]]
    assert features.velocity[:4].tolist() == [[0, 0]] * 4
    assert features.velocity[4] == pytest.approx([20 / 200 / 0.1, 20 / 200 / 0.1])

    alone = fusion.update(200 * MS, left, CAMERA_MODEL)
    assert alone.camera.tolist() == [0, 0, 0]
    again = fusion.update(300 * MS, left, CAMERA_MODEL, right=(right, wide))
    assert again.velocity[3:].tolist() == [[0, 0], [0, 0]]  # no velocity over a gap

    mono = VinsAdapter('vins_mono', cameras=4, numbers=(2, 3))
    mono.update(0, left, CAMERA_MODEL, right=(right, wide))
    features = mono.update(100 * MS, left, CAMERA_MODEL, right=(right, wide))
    values = feature_message(Header(), features, 'vins_mono', 4).channels[0].values
    decoded = [(int(v + 0.5) // 4, int(v + 0.5) % 4) for v in values]
    assert decoded == [(5, 2), (9, 2), (15, 2), (9, 3), (15, 3)]  # odd ids: of the second pair


def test_an_image_without_tracks_still_has_all_channels():
    adapter = VinsAdapter('vins_fusion')
    message = feature_message(Header(), adapter.update(0, tracks(), CAMERA_MODEL), 'vins_fusion')
    assert len(message.channels) == 9
    assert message.points == []


def test_velocities_are_those_of_the_last_image_step_at_any_message_rate():
    adapter = VinsAdapter('vins_fusion')
    sent = [
        adapter.update(image * 100 * MS, tracks(k1=(320 + image**2, 200)), CAMERA_MODEL, rate=5.0)
        for image in range(5)
    ]
    assert [f is not None for f in sent] == [True, False, True, False, True]
    assert sent[4].velocity[0, 0] == pytest.approx((16 - 9) / 400 / 0.1)


def test_ids_wrap_below_the_limit_and_skip_those_in_use():
    ids = FeatureIds(10)
    assert ids.assign([4, 3]) == {3: 3, 4: 4}
    # 13 and 14 wrap to 3 and 4, which are in use, so they get 5 and 6; 15 wraps to 5: it gets 7
    found = ids.assign([15, 4, 3, 13, 14])
    assert list(found.items()) == [(3, 3), (4, 4), (13, 5), (14, 6), (15, 7)]
    assert ids.assign([15, 4, 13, 14]) == {4: 4, 13: 5, 14: 6, 15: 7}
    assert ids.assign([23]) == {23: 3}


def test_ids_of_different_cameras_never_collide():
    assert FeatureIds(10, step=2, offset=0).assign([3, 12]) == {3: 6, 12: 4}
    assert FeatureIds(10, step=2, offset=1).assign([3, 12]) == {3: 7, 12: 5}


def test_all_ids_are_exact_in_float32():
    adapter = VinsAdapter('vins_fusion')
    seen = {f'k{EXACT + 5}': (9, 9), 'k5': (99, 99), f'k{EXACT - 1}': (50, 50)}
    features = adapter.update(0, tracks(**seen), CAMERA_MODEL)
    assert sorted(features.id.tolist()) == [5, 6, EXACT - 1]
    values = feature_message(Header(), features, 'vins_fusion').channels[0].values
    assert sorted(int(v + 0.5) for v in values) == [5, 6, EXACT - 1]
    for cameras in (1, 3):
        mono = VinsAdapter('vins_mono', cameras, (cameras - 1,))
        mono.update(0, tracks(), CAMERA_MODEL)
        features = mono.update(1, tracks(**{f'k{3 * EXACT - 1}': (9, 9)}), CAMERA_MODEL)
        message = feature_message(Header(), features, 'vins_mono', cameras)
        assert int(message.channels[0].values[0]) < EXACT
        assert int(message.channels[0].values[0]) % cameras == cameras - 1


def test_an_id_that_one_message_lacks_does_not_return():
    ids = FeatureIds(EXACT)
    ids.assign([1, 2, 3])
    ids.assign([1, 3])
    assert ids.assign([1, 2, 3, 4]) == {1: 1, 3: 3, 4: 4}
    ids.assign([])
    assert ids.assign([4, 5]) == {5: 5}


def test_a_point_without_a_direction_is_not_sent():
    barrel = CameraModel([400, 0, 320, 0, 400, 200, 0, 0, 1], 'plumb_bob', [-0.5, 0, 0, 0])
    adapter = VinsAdapter('vins_fusion')
    features = adapter.update(0, tracks(k1=(720, 200), k2=(330, 210)), barrel)
    assert features.id.tolist() == [2]
    assert np.isfinite(features.direction).all()


def read_fusion(message):
    """{id: (direction, velocity)} as rosNodeTest.cpp's feature_callback reads a message."""
    read = {}
    for i, point in enumerate(message.points):
        identity = int(message.channels[0].values[i])
        assert point.z == 1
        if len(message.channels) > 5:
            [message.channels[c].values[i] for c in (6, 7, 8)]
        velocity = message.channels[4].values[i], message.channels[5].values[i]
        assert identity not in read
        read[identity] = np.array([point.x, point.y, point.z]), np.array(velocity)
    return read


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [('plumb_bob', [-0.28, 0.07, 0.001, -0.0005, 0.0]), ('equidistant', [-0.01, 0.002, 0, 0])],
)
def test_an_estimator_recovers_the_rotation(model, coefficients):
    """From messages of a camera with distortion and noise of 0.3 px."""
    rng = np.random.default_rng(0)
    matrix = np.array([[400.0, 0, 320], [0, 400, 200], [0, 0, 1]])
    camera_model = CameraModel(matrix, model, coefficients)
    world = rng.uniform((-2.5, -1.5, 4), (2.5, 1.5, 8), (150, 3))
    turn = np.array([0.02, -0.06, 0.04])
    adapter, messages = VinsAdapter('vins_fusion'), []
    for image, rotation in enumerate((np.zeros(3), turn)):
        shift = image * np.array([0.3, -0.1, 0.05])
        if model == 'equidistant':
            pixels, _ = cv2.fisheye.projectPoints(
                world[:, None], rotation, shift, matrix, np.array(coefficients, float)
            )
        else:
            pixels, _ = cv2.projectPoints(world, rotation, shift, matrix, np.array(coefficients))
        pixels = (pixels.reshape(-1, 2) + rng.normal(0, 0.3, (150, 2))).astype(np.float32)
        ones = np.ones(150)
        seen = Tracks(np.arange(150), ones + image, *pixels.T, ones, np.arange(150))
        features = adapter.update(image * 50 * MS, seen, camera_model)
        messages.append(feature_message(Header(), features, 'vins_fusion'))
    first, second = map(read_fusion, messages)
    assert len(second) == 150
    before = np.array([first[i][0][:2] for i in second])
    now = np.array([second[i][0][:2] for i in second])
    velocity = np.array([second[i][1] for i in second])
    np.testing.assert_allclose(velocity, (now - before) / 0.05, atol=1e-4)
    essential, mask = cv2.findEssentialMat(
        before, now, np.eye(3), cv2.USAC_ACCURATE, 0.999, 1 / 400
    )
    _, found, _, _ = cv2.recoverPose(essential, before, now, np.eye(3), mask=mask)
    true, _ = cv2.Rodrigues(turn)
    error = np.linalg.norm(cv2.Rodrigues(found @ true.T)[0])
    assert np.degrees(error) < 0.5
