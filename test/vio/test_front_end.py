"""Tracks for the estimator."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from superpoint_rknn.evaluate.rooms.camera import camera_model
from superpoint_rknn.features.keypoints import DetectorSettings, Keypoints
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings
from superpoint_rknn.vio import front_end, keypoints
from superpoint_rknn.vio.recordings import Recording

CONFIG = Path(__file__).parents[2] / 'config' / 'mono_30hz.yaml'


def parameters_of(node):
    """Parameters of a node in the configuration for one camera."""
    return yaml.safe_load(CONFIG.read_text())[f'/**/{node}']['ros__parameters']


def test_settings_are_those_of_the_nodes():
    detector = parameters_of('superpoint')['detector']
    tracker = parameters_of('tracker')
    names = set(TrackSettings.__dataclass_fields__) & set(tracker)

    expected = DetectorSettings(**{**detector, 'grid': tuple(detector['grid'])})
    assert expected == keypoints.DETECTOR
    for name in names:
        value = tracker[name]
        value = tuple(value) if isinstance(value, list) else value
        assert getattr(front_end.TRACKER, name) == value, name


@pytest.fixture
def recording(photograph):
    """Four equal images, 0.1 s apart."""
    image = photograph[:400, :, 1].copy()
    times = [10.0, 10.1, 10.2, 10.3]
    return Recording(
        name='still',
        images=lambda: iter([(time, image) for time in times]),
        camera_model=camera_model(),
        body_from_camera=np.eye(4),
        imu=[],
    )


def test_tracks_keep_ids_and_places(recording):
    x, y = np.array([100.0, 200, 300], np.float32), np.array([150.0, 250, 200], np.float32)
    found = Keypoints(x, y, np.ones(3, np.float32))

    history = front_end.track(
        recording, Tracker(TrackSettings(min_texture=0.0)), lambda number, image: found
    )

    assert history.times == [10.0, 10.1, 10.2, 10.3]
    assert history.seconds == pytest.approx(0.3)
    assert history.image_rate == pytest.approx(10)
    assert history.mean_tracks == 3
    first, last = history.points[0], history.points[-1]
    np.testing.assert_array_equal(first.id, last.id)
    np.testing.assert_allclose(first.points, last.points, atol=0.05)
    expected = camera_model().undistort(first.points[:, 0], first.points[:, 1])
    np.testing.assert_allclose(history.directions[0], expected)


def test_every_third_detects_in_every_third_image(recording, monkeypatch):
    asked = []
    nothing = Keypoints(*(np.empty(0, np.float32) for _ in range(3)))

    class Found(list):
        def __getitem__(self, number):
            asked.append(number)
            return nothing

    monkeypatch.setattr(front_end, 'keypoints_of', lambda *_, **__: Found())

    front_end.track_row(recording, front_end.EVERY_THIRD)
    assert asked == [0, 3]
    asked.clear()
    front_end.track_row(recording, front_end.SUPERPOINT)
    assert asked == [0, 1, 2, 3]
