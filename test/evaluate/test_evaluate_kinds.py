"""Pairs of views by kind of change."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.evaluate import kinds
from superpoint_rknn.evaluate.kinds import KINDS, defocus, expose, make_kind_pair, report_on_kinds
from superpoint_rknn.evaluate.metrics import inside, warp
from superpoint_rknn.evaluate.pairs import SCENE_SIZE, VIEW_SIZE, Scene
from superpoint_rknn.evaluate.report import kinds_table
from superpoint_rknn.evaluate.scenes import Material

RNG = np.random.default_rng(0)


def soft_noise(seed, sigma=5):
    """Blurred noise, (height, width) uint8 of a scene."""
    noise = np.random.default_rng(seed).normal(size=SCENE_SIZE)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def scene():
    return Scene('noise', 5, soft_noise(0))


def middle_scale(homography, point):
    """Singular values of the Jacobian of a homography at a point, larger first."""
    steps = np.add(point, [[0, 0], [0.01, 0], [0, 0.01]])
    here, right, below = warp(homography, steps)
    return np.linalg.svd(np.stack([right - here, below - here]) / 0.01, compute_uv=False)


@pytest.mark.parametrize('kind', KINDS)
def test_the_homography_maps_the_first_view_to_the_second(kind, scene):
    pair = make_kind_pair(kind, scene, 0)
    y, x = (axis.ravel() for axis in np.mgrid[20:380:4, 20:620:4])
    there = warp(pair.homography, np.stack([x, y], axis=1)).astype(np.float32)
    seen = inside(there - 9, (VIEW_SIZE[0] - 18, VIEW_SIZE[1] - 18))
    assert seen.mean() > 0.15
    first = pair.first[y[seen], x[seen]].astype(float)

    def difference(dx, dy):
        places = there[seen][:, None] + np.float32([dx, dy])
        second = cv2.remap(pair.second, places, None, cv2.INTER_LINEAR)[:, 0].astype(float)
        gain = np.std(first) / np.std(second)  # darkness and blur
        return np.mean((first - first.mean() - gain * (second - second.mean())) ** 2)

    around = [difference(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    right, left, below, above = around
    assert difference(0, 0) < min(around)
    # The minimum of the parabola is within a fifth of a pixel.
    assert abs(left - right) / (left + right - 2 * difference(0, 0)) < 0.4
    assert abs(above - below) / (above + below - 2 * difference(0, 0)) < 0.4


@pytest.mark.parametrize('kind', KINDS)
def test_views_lie_inside_the_scene(kind, scene):
    for number in range(24):
        for quad in KINDS[kind][0](scene.image, np.random.default_rng([0, number])):
            assert cv2.isContourConvex(quad.astype(np.float32))
            assert cv2.contourArea(quad.astype(np.float32), oriented=True) > 0  # not mirrored
            assert quad.min() >= -0.5
            assert (quad <= (959.5, 599.5)).all()


@pytest.mark.parametrize(('kind', 'factor'), [('zoom1.5', 1.5), ('zoom2', 2)])
def test_zoom_is_exact(kind, factor, scene):
    homography = make_kind_pair(kind, scene, 1).homography
    np.testing.assert_allclose(middle_scale(homography, [320, 200]), factor, rtol=1e-3)


def test_rotation_is_by_about_90_degrees_without_zoom(scene):
    for seed in range(5):
        homography = make_kind_pair('rotation', scene, seed).homography
        assert 80 <= abs(np.degrees(np.arctan2(homography[1, 0], homography[0, 0]))) <= 100
        np.testing.assert_allclose(middle_scale(homography, [320, 200]), 1, rtol=1e-3)


def test_tilt_foreshortens_by_its_cosine(scene):
    found = []
    for seed in range(8):
        backward = np.linalg.inv(make_kind_pair('tilt', scene, seed).homography)
        long, short = middle_scale(backward, [319.5, 199.5])
        found.append(np.degrees(np.arccos(short / long)))
    assert 39.9 < min(found) < max(found) < 50.1
    assert max(found) - min(found) > 2


def test_darkness_and_noise():
    dark = expose(0.2, 0.02, np.full((300, 300), 200, np.uint8), RNG)
    assert dark.mean() == pytest.approx(40, abs=0.2)
    assert dark.std() == pytest.approx(255 * 0.02, rel=0.03)


def test_a_defocused_point_is_a_disc():
    point = np.zeros((21, 21), np.uint8)
    point[10, 10] = 245
    disc = defocus(point, RNG)
    assert np.count_nonzero(disc) == 49  # pixels within 4 px
    assert set(np.unique(disc)) == {0, 5}
    assert disc[10, 6] == disc[14, 10] == 5


def test_low_texture_shows_the_flattest_part():
    image = np.random.default_rng(1).integers(0, 256, SCENE_SIZE).astype(np.uint8)
    image[240:560, 420:920] = 128
    pair = make_kind_pair('low_texture', Scene('wall', 0, image), 0)
    assert pair.first.std() < 1
    assert np.median(pair.second) == 128


def test_report_of_all_kinds_and_rows(scene, monkeypatch):
    monkeypatch.setattr(kinds, 'KINDS', {kind: KINDS[kind] for kind in ('zoom2', 'dark')})
    other = Scene('other', 6, soft_noise(1, sigma=3))
    report = report_on_kinds(Material([scene, other]), {}, progress=iter)
    assert [(kind['name'], kind['pairs']) for kind in report['kinds']] == [
        ('zoom2', 2),
        ('dark', 2),
    ]
    for kind in report['kinds']:
        assert [row['name'] for row in kind['rows']] == ['orb', 'sift']
        assert all(
            {'rep3', 'mma3', 'h1', 'h3', 'h5', 'intervals'} <= row.keys() for row in kind['rows']
        )
    lines = kinds_table(report).splitlines()
    assert lines[0] == 'zoom2, 2 pairs'
    assert lines[4].split()[:2] == ['dark,', '2']
