"""examples/matcher.py on two views of known motion, without a graph."""

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')

MATCHER = runpy.run_path(str(Path(__file__).resolve().parents[2] / 'examples' / 'matcher.py'))
CAMERA = np.array([[400.0, 0, 320], [0, 400, 200], [0, 0, 1]])


def views(count=100):
    """Points of two views and the motion of the camera: a turn of 5 degrees and a step."""
    rng = np.random.default_rng(3)
    points = rng.uniform([-2, -1.2, 3], [2, 1.2, 8], (count, 3))
    rotation = cv2.Rodrigues(np.deg2rad([0.0, 5, 0]))[0]
    position = np.array([0.3, 0, 0.1])
    seen = [points, (points - position) @ rotation]
    pixels = [(p / p[:, 2:]) @ CAMERA.T for p in seen]
    return pixels[0][:, :2], pixels[1][:, :2], rotation, position


def test_rotation_and_direction_are_found_despite_wrong_matches():
    first, second, rotation, position = views()
    second[:20] = second[:20][::-1]  # wrong matches
    found = MATCHER['relative_pose'](first, second, CAMERA)
    np.testing.assert_allclose(found[0], rotation, atol=1e-3)
    np.testing.assert_allclose(found[1], position / np.linalg.norm(position), atol=0.01)


def test_quaternion_of_half_a_turn():
    turn = np.diag([-1.0, -1, 1])
    np.testing.assert_allclose(np.abs(MATCHER['quaternion'](turn)), [0, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(MATCHER['quaternion'](np.eye(3)), [0, 0, 0, 1])
