"""From a camera image to keypoints and descriptors, with known outputs of the network."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import COLS, HEIGHT, ROWS, WIDTH, FakeRuntime
from whole_pixels import whole_pixels

from superpoint_rknn.extractor import Extractor, Settings

# Size of the camera image, resize mode, and position of pixel (x, y) of the model input in it.
TRANSFORMS = {
    'same': ((HEIGHT, WIDTH), 'stretch', lambda x, y: (x, y)),
    'stretch': ((2 * HEIGHT, 4 * WIDTH), 'stretch', lambda x, y: (4 * x + 1.5, 2 * y + 0.5)),
    'crop': ((HEIGHT, WIDTH + 16), 'crop', lambda x, y: (x + 8, y)),
    'letterbox': ((HEIGHT - 8, WIDTH), 'letterbox', lambda x, y: (x, y - 4)),
    'letterbox, half': (
        (2 * HEIGHT, WIDTH),
        'letterbox',
        lambda x, y: (2 * x - 23.5, 2 * y + 0.5),
    ),
}
AS_DETECTED = whole_pixels()
POINTS = {(20, 12): 0.75, (28, 20): 0.5, (17, 22): 0.25}  # strongest first


def random_image(*size):
    return np.random.default_rng(3).integers(0, 256, size).astype(np.uint8)


def points_of(keypoints):
    return list(zip(keypoints.x.tolist(), keypoints.y.tolist(), strict=True))


@pytest.fixture
def runtime():
    return FakeRuntime(POINTS)


# Model input


def test_an_image_of_the_input_size_is_passed_unchanged(runtime):
    image = random_image(HEIGHT, WIDTH)
    Extractor(runtime, Settings(AS_DETECTED)).detect(image)
    np.testing.assert_array_equal(runtime.images, [image])


def test_rows_may_be_padded(runtime):
    image = random_image(HEIGHT, WIDTH + 5)[:, :WIDTH]
    Extractor(runtime, Settings(AS_DETECTED)).detect(image)
    np.testing.assert_array_equal(runtime.images, [image])


def test_stretch_scales_each_axis_separately(runtime):
    small = random_image(HEIGHT, WIDTH)
    Extractor(runtime, Settings(AS_DETECTED)).detect(small.repeat(2, axis=0).repeat(4, axis=1))
    np.testing.assert_array_equal(runtime.images, [small])


def test_crop_keeps_the_middle(runtime):
    image = random_image(HEIGHT, WIDTH + 16)
    Extractor(runtime, Settings(AS_DETECTED, resize='crop')).detect(image)
    np.testing.assert_array_equal(runtime.images, [image[:, 8:-8]])


def test_letterbox_pads_with_grey(runtime):
    image = random_image(HEIGHT - 8, WIDTH)
    Extractor(runtime, Settings(AS_DETECTED, resize='letterbox')).detect(image)
    np.testing.assert_array_equal(
        runtime.images, [np.pad(image, ((4, 4), (0, 0)), constant_values=128)]
    )


def test_model_input_equals_the_image_passed_to_the_runtime(runtime):
    extractor = Extractor(runtime, Settings(AS_DETECTED, resize='letterbox'))
    image = random_image(50, 60)
    model_input = extractor.model_input(image).copy()
    extractor.detect(image)
    np.testing.assert_array_equal(runtime.images, [model_input])


# Keypoints


@pytest.mark.parametrize('case', TRANSFORMS)
def test_keypoints_are_in_pixels_of_the_camera_and_of_the_network(runtime, case):
    size, resize, to_camera = TRANSFORMS[case]
    found = Extractor(runtime, Settings(AS_DETECTED, resize=resize)).detect(random_image(*size))
    assert points_of(found.network_keypoints) == list(POINTS)
    assert points_of(found.keypoints) == [to_camera(x, y) for x, y in POINTS]
    assert found.image_size == size
    for keypoints in (found.keypoints, found.network_keypoints):
        assert keypoints.score.tolist() == pytest.approx(list(POINTS.values()), abs=1e-6)


def test_no_points_in_the_padding_of_a_letterbox_or_within_the_border(runtime):
    runtime.points = {(20, y): 0.5 for y in (3, 7, 8, 23, 24, 28)}
    settings = Settings(replace(AS_DETECTED, border=4, nms_radius=0), resize='letterbox')
    found = Extractor(runtime, settings).detect(random_image(HEIGHT - 8, WIDTH))
    assert points_of(found.network_keypoints) == [(20, 8), (20, 23)]


def test_the_mask_is_in_camera_pixels(runtime):
    mask = np.full((2 * HEIGHT, 4 * WIDTH), 255, np.uint8)
    mask[20:30, 70:90] = 0  # around (81.5, 24.5), which is (20, 12) of the model input
    found = Extractor(runtime, Settings(AS_DETECTED, mask=mask)).detect(random_image(*mask.shape))
    assert points_of(found.network_keypoints) == [(28, 20), (17, 22)]


def test_an_image_without_points(runtime):
    runtime.points = {}
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    found = extractor.detect(random_image(HEIGHT, WIDTH), extractor.new_descriptor_map())
    assert len(found.keypoints) == len(found.network_keypoints) == 0
    assert extractor.describe(found).shape == (0, ROWS * COLS)


def test_keypoints_are_refined_in_the_model_input(runtime):
    """To the bright pixel beside each of them, by about its distance of one pixel."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y in POINTS:
        image[y, x + 1] = 255
    extractor = Extractor(runtime)
    raw = extractor.new_descriptor_map()
    found = extractor.detect(image, raw)
    assert (found.network_keypoints.x - [x for x, _ in POINTS]).tolist() == pytest.approx(
        [0.9] * 3, abs=0.1
    )
    assert found.network_keypoints.y.tolist() == pytest.approx([y for _, y in POINTS], abs=0.05)
    plain = Extractor(runtime, Settings(AS_DETECTED)).detect(image, raw)
    assert not np.array_equal(extractor.describe(found), extractor.describe(plain))


def test_refined_keypoints_do_not_enter_the_mask(runtime):
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[12, 21] = 255
    mask = np.ones(image.shape, np.uint8)
    mask[:, 21] = 0
    found = Extractor(runtime, Settings(mask=mask)).detect(image)
    assert points_of(found.keypoints)[0] == (20, 12)


# Settings


def test_settings_are_replaced_between_images_of_one_size(runtime):
    image = random_image(HEIGHT, WIDTH + 16)
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    assert len(extractor.detect(image).keypoints) == 3
    extractor.settings = Settings(replace(AS_DETECTED, threshold=0.4))
    assert len(extractor.detect(image).keypoints) == 2
    extractor.settings = replace(extractor.settings, resize='crop')
    assert points_of(extractor.detect(image).keypoints) == [(28, 12), (36, 20)]
    mask = np.zeros(image.shape, np.uint8)
    mask[20, 36] = 1
    extractor.settings = replace(extractor.settings, mask=mask)
    assert points_of(extractor.detect(image).keypoints) == [(36, 20)]
    extractor.settings = Settings(replace(AS_DETECTED, max_keypoints=1))
    assert points_of(extractor.detect(image[:, :WIDTH].copy()).keypoints) == [(20, 12)]


def test_settings_replaced_during_an_inference_apply_to_the_next_image(runtime):
    """Another thread may replace the settings at any time."""
    extractor = Extractor(runtime, Settings(AS_DETECTED))

    def change():
        extractor.settings = Settings(replace(AS_DETECTED, threshold=0.6), resize='crop')

    runtime.during = change
    image = random_image(HEIGHT, 2 * WIDTH)
    assert points_of(extractor.detect(image).keypoints) == [(2 * x + 0.5, y) for x, y in POINTS]
    assert points_of(extractor.detect(image).keypoints) == [(20 + WIDTH // 2, 12)]


# Descriptors


@pytest.mark.parametrize('case', TRANSFORMS)
def test_descriptors_are_sampled_at_pixels_of_the_network(runtime, case):
    """
    Pixel 8 c + 4 is 1/16 of a cell beyond the centre of cell c, so the bilinear weights of this
    cell and the next one are 15/16 and 1/16 along each axis.
    """
    size, resize, _ = TRANSFORMS[case]
    extractor = Extractor(runtime, Settings(AS_DETECTED, resize=resize))
    raw = extractor.new_descriptor_map()
    found = extractor.detect(random_image(*size), raw)
    assert found.raw is raw
    rows = extractor.describe(found)
    assert (rows.shape, rows.dtype) == ((3, ROWS * COLS), np.float32)
    for row, (cell_x, cell_y) in zip(rows, [(2, 1), (3, 2)], strict=False):
        expected = np.zeros((ROWS, COLS))
        expected[cell_y : cell_y + 2, cell_x : cell_x + 2] = [[225, 15], [15, 1]]
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(row.reshape(ROWS, COLS), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_the_descriptor_map_is_fetched_only_into_a_given_buffer(runtime):
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    found = extractor.detect(random_image(HEIGHT, WIDTH))
    assert found.raw is None
    assert runtime.fetched == [False]
    with pytest.raises(ValueError, match='no raw descriptor map'):
        extractor.describe(found)


def test_an_older_detection_can_be_described_after_a_newer_one(runtime):
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    image = random_image(HEIGHT, WIDTH)
    older = extractor.detect(image, extractor.new_descriptor_map())
    expected = extractor.describe(older)
    runtime.points = {(36, 8): 0.5}
    newer = extractor.detect(image.repeat(2, axis=0), extractor.new_descriptor_map())
    np.testing.assert_array_equal(extractor.describe(older), expected)
    assert len(extractor.describe(newer)) == 1


def test_float_descriptor_map(runtime):
    runtime.descriptors = replace(
        runtime.descriptors, dtype=np.dtype(np.float32), quantization=None
    )
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    raw = extractor.new_descriptor_map()
    assert (raw.shape, raw.dtype) == ((ROWS * COLS, ROWS, COLS), np.float32)
    found = extractor.detect(random_image(HEIGHT, WIDTH), raw)
    raw[:] = 0
    raw[7] = 2.5
    expected = np.zeros(ROWS * COLS)
    expected[7] = 1
    np.testing.assert_allclose(extractor.describe(found), [expected] * 3, atol=1e-6)


# Stage times


def test_stage_times_of_the_last_image_include_those_of_the_runtime(runtime):
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    runtime.stages_ms = {'load': 12.5}
    runtime.during = lambda: time.sleep(0.02)
    start = time.perf_counter()
    extractor.detect(random_image(HEIGHT, WIDTH))
    elapsed = 1e3 * (time.perf_counter() - start)
    stages = dict(extractor.stages_ms)
    assert stages.pop('load') == 12.5
    assert stages.keys() == {'resize', 'infer', 'decode'}
    assert stages['infer'] >= 20
    assert min(stages.values()) > 0
    assert sum(stages.values()) <= elapsed
    runtime.stages_ms = {'load': 2.5}
    extractor.detect(random_image(HEIGHT, WIDTH))
    assert extractor.stages_ms['load'] == 2.5


# Errors


@pytest.mark.parametrize(
    ('settings', 'image', 'reason'),
    [
        (
            Settings(mask=np.ones((8, 8), np.uint8)),
            random_image(HEIGHT, WIDTH),
            r'mask: .*\(8, 8\)',
        ),
        (Settings(), random_image(HEIGHT, WIDTH).astype(np.float32), 'image: float32'),
        (Settings(), random_image(0, WIDTH), 'at least one pixel'),
    ],
    ids=['mask', 'dtype', 'empty'],
)
def test_invalid_settings_or_images_raise_and_the_next_image_is_processed(
    runtime, settings, image, reason
):
    extractor = Extractor(runtime, settings)
    for _ in range(2):
        with pytest.raises(ValueError, match=reason):
            extractor.detect(image)
    assert runtime.images == []
    extractor.settings = Settings(AS_DETECTED)
    assert points_of(extractor.detect(random_image(HEIGHT, WIDTH)).keypoints) == list(POINTS)


def test_an_error_of_the_runtime_is_raised_and_the_next_image_is_processed(runtime):
    extractor = Extractor(runtime, Settings(AS_DETECTED))
    image = random_image(HEIGHT, WIDTH)

    def fail():
        raise RuntimeError('RKNN_ERR_TIMEOUT')

    runtime.during = fail
    with pytest.raises(RuntimeError, match='RKNN_ERR_TIMEOUT'):
        extractor.detect(image)
    runtime.during = lambda: None
    assert points_of(extractor.detect(image).keypoints) == list(POINTS)


def test_an_unknown_resize_mode_raises():
    with pytest.raises(ValueError, match=r"resize: 'squeeze', expected one of stretch, crop"):
        Settings(AS_DETECTED, resize='squeeze')
