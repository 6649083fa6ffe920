import cv2
import numpy as np
import pytest

from superpoint_rknn.features.mask import allowed_map
from superpoint_rknn.features.resize import PADDING, ImageTransform

MODES = ['stretch', 'crop', 'letterbox']
INPUT_SIZE = (400, 640)
CAMERAS = [(400, 640), (480, 640), (480, 752), (720, 1280), (1080, 1920), (240, 320), (199, 317)]
CAMERAS += [(1603, 2161), (2400, 500)]


def noise(*size):
    return np.random.default_rng(4).integers(0, 256, size, dtype=np.uint8)


def blob(size, y, x, sigma):
    """Bright Gaussian spot with its centre at (y, x)."""
    v, u = np.mgrid[: size[0], : size[1]]
    spot = np.exp(-((v - y) ** 2 + (u - x) ** 2) / (2 * sigma**2))
    return np.rint(255 * spot).astype(np.uint8)


def centroid(image):
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image.astype(float)
    return (weight * v).sum() / weight.sum(), (weight * u).sum() / weight.sum()


@pytest.mark.parametrize(
    ('mode', 'camera', 'scale', 'offset', 'valid'),
    [
        ('stretch', (480, 1280), (2, 1.2), (0, 0), (0, 0, 400, 640)),
        ('crop', (480, 640), (1, 1), (0, -40), (0, 0, 400, 640)),
        ('crop', (800, 1600), (2, 2), (-80, 0), (0, 0, 400, 640)),
        ('letterbox', (480, 640), (1.2, 1.2), (53, 0), (0, 53, 400, 586)),
        ('letterbox', (720, 1280), (2, 2), (0, 20), (20, 0, 380, 640)),
    ],
)
def test_scale_offset_and_valid_part(mode, camera, scale, offset, valid):
    transform = ImageTransform.fit(mode, camera, INPUT_SIZE)
    assert transform.scale == scale
    assert transform.offset == offset
    assert transform.valid == valid


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('camera', CAMERAS)
def test_points_map_from_the_input_to_the_image(mode, camera):
    transform = ImageTransform.fit(mode, camera, INPUT_SIZE)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, camera[1], 50), rng.uniform(0, camera[0], 50)
    x_input = (x + 0.5) / transform.scale[0] - 0.5 + transform.offset[0]
    y_input = (y + 0.5) / transform.scale[1] - 0.5 + transform.offset[1]
    x_image, y_image = transform.to_image(x_input, y_input)
    assert x_image == pytest.approx(x, abs=1e-9)
    assert y_image == pytest.approx(y, abs=1e-9)
    if mode != 'stretch':
        assert transform.scale[0] == transform.scale[1]


def test_stretch_aligns_outer_edges():
    """The outer edges of the images coincide, not the centres of their corner pixels."""
    transform = ImageTransform.fit('stretch', (800, 1280), INPUT_SIZE)
    x, y = transform.to_image(np.array([-0.5, 0, 639.5]), np.array([-0.5, 0, 399.5]))
    assert x.tolist() == [-0.5, 0.5, 1279.5]
    assert y.tolist() == [-0.5, 0.5, 799.5]


def test_float32_points_stay_float32_and_unscaled_ones_exact():
    x, y = np.array([0, 639], np.float32), np.array([0, 399], np.float32)
    same = ImageTransform.fit('crop', (480, 640), INPUT_SIZE).to_image(x, y)
    assert same[0].dtype == same[1].dtype == np.float32
    assert same[0].tolist() == [0, 639]
    assert same[1].tolist() == [40, 439]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('camera', CAMERAS)
def test_resized_blob_maps_back_to_its_position(mode, camera):
    transform = ImageTransform.fit(mode, camera, INPUT_SIZE)
    sigma = 4 * max(1, *transform.scale)
    for at in ((0.5, 0.5), (0.46, 0.62), (0.52, 0.27)):
        y, x = at[0] * camera[0] + 0.3, at[1] * camera[1] - 0.2
        model_input = transform.resize(blob(camera, y, x, sigma))
        y0, x0, y1, x1 = transform.valid
        row, col = centroid(model_input[y0:y1, x0:x1])
        x_image, y_image = transform.to_image(np.array([col + x0]), np.array([row + y0]))
        assert (y_image[0], x_image[0]) == pytest.approx(
            (y, x), abs=0.02 * max(1, *transform.scale)
        )


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('camera', CAMERAS)
def test_result_has_the_input_size_and_uses_the_buffer(mode, camera):
    transform = ImageTransform.fit(mode, camera, INPUT_SIZE)
    image = noise(*camera)
    fresh = transform.resize(image)
    out = np.empty(INPUT_SIZE, np.uint8)
    given = transform.resize(image, out)
    for model_input in (fresh, given):
        assert model_input.shape == INPUT_SIZE
        assert model_input.dtype == np.uint8
        assert model_input.flags.c_contiguous
    assert np.array_equal(fresh, given)
    assert np.shares_memory(given, out) or np.shares_memory(given, image)


def test_image_of_the_input_size_is_not_copied():
    image = noise(*INPUT_SIZE)
    for mode in MODES:
        assert np.shares_memory(
            ImageTransform.fit(mode, INPUT_SIZE, INPUT_SIZE).resize(image), image
        )


def test_crop_of_whole_rows_is_a_view():
    image = noise(480, 640)
    model_input = ImageTransform.fit('crop', (480, 640), INPUT_SIZE).resize(image)
    assert np.shares_memory(model_input, image)
    assert np.array_equal(model_input, image[40:440])


def test_padded_rows_become_contiguous():
    image = noise(400, 700)[:, :640]
    model_input = ImageTransform.fit('stretch', INPUT_SIZE, INPUT_SIZE).resize(image)
    assert model_input.flags.c_contiguous
    assert np.array_equal(model_input, image)


def test_crop_keeps_the_middle():
    image = noise(400, 700)
    model_input = ImageTransform.fit('crop', (400, 700), INPUT_SIZE).resize(image)
    assert np.array_equal(model_input, image[:, 30:670])


def test_letterbox_pads_with_grey():
    image = noise(400, 600)
    model_input = ImageTransform.fit('letterbox', (400, 600), INPUT_SIZE).resize(image)
    assert np.array_equal(model_input[:, 20:620], image)
    assert (model_input[:, :20] == PADDING).all()
    assert (model_input[:, 620:] == PADDING).all()


@pytest.mark.parametrize('mode', MODES)
def test_shrinking_below_half_averages(mode):
    """Stripes finer than a pixel of the input become their mean: no aliasing."""
    stripes = np.zeros((1600, 2560), np.uint8)
    stripes[:, ::2] = 200
    assert (ImageTransform.fit(mode, stripes.shape, INPUT_SIZE).resize(stripes) == 100).all()


def test_shrinking_to_a_quarter_averages_4x4_pixels():
    image = noise(1600, 2560)
    means = image.reshape(400, 4, 640, 4).mean(axis=(1, 3))
    model_input = ImageTransform.fit('stretch', (1600, 2560), INPUT_SIZE).resize(image)
    assert np.abs(model_input - means).max() <= 1  # rounded twice


def test_photograph_equals_cv2_resize(photograph):
    grey = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    model_input = ImageTransform.fit('stretch', grey.shape, INPUT_SIZE).resize(grey)
    expected = cv2.resize(grey, INPUT_SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(model_input.astype(int) - expected).max() <= 1


@pytest.mark.parametrize('mode', MODES)
def test_any_size_fills_the_valid_part(mode):
    rng = np.random.default_rng(6)
    for camera, input_size in zip(
        rng.integers(20, 300, (40, 2)), 8 * rng.integers(2, 20, (40, 2)), strict=True
    ):
        transform = ImageTransform.fit(mode, camera, input_size)
        model_input = transform.resize(np.full(transform.image_size, 200, np.uint8))
        y0, x0, y1, x1 = transform.valid
        shown = np.zeros(model_input.shape, bool)
        shown[y0:y1, x0:x1] = True
        assert (model_input[shown] == 200).all()
        assert (model_input[~shown] == PADDING).all()
        x, y = transform.to_image(np.array([x0, x1 - 1.0]), np.array([y0, y1 - 1.0]))
        assert x.min() >= -0.5
        assert y.min() >= -0.5
        assert x.max() <= camera[1] - 0.5
        assert y.max() <= camera[0] - 0.5


@pytest.mark.parametrize(
    ('camera', 'input_size'),
    [((720, 2560), (480, 752)), ((315, 2304), INPUT_SIZE), ((315, 1792), INPUT_SIZE)],
)
def test_letterbox_rounding_half_a_pixel_is_filled(camera, input_size):
    transform = ImageTransform.fit('letterbox', camera, input_size)
    model_input = transform.resize(np.full(camera, 200, np.uint8))
    y0, x0, y1, x1 = transform.valid
    assert (model_input[y0:y1, x0:x1] == 200).all()
    assert (np.delete(model_input, np.s_[y0:y1], axis=0) == PADDING).all()


def test_error_names_the_bad_argument():
    with pytest.raises(ValueError, match="resize: 'squeeze'"):
        ImageTransform.fit('squeeze', (480, 640), INPUT_SIZE)
    with pytest.raises(ValueError, match=r'sizes \(0, 640\)'):
        ImageTransform.fit('crop', (0, 640), INPUT_SIZE)
    with pytest.raises(ValueError, match=r'image size \(1, 4000\): too thin'):
        ImageTransform.fit('letterbox', (1, 4000), INPUT_SIZE)
    transform = ImageTransform.fit('crop', (480, 640), INPUT_SIZE)
    with pytest.raises(
        ValueError, match=r'image: uint8 \(400, 640\), expected uint8 \(480, 640\)'
    ):
        transform.resize(np.zeros((400, 640), np.uint8))
    with pytest.raises(ValueError, match=r'image: float32'):
        transform.resize(np.zeros((480, 640), np.float32))


def test_no_map_without_mask_and_padding():
    for mode in ('stretch', 'crop'):
        assert allowed_map(ImageTransform.fit(mode, (480, 640), INPUT_SIZE), border=4) is None
    everywhere = np.ones((480, 640), np.uint8)
    assert allowed_map(ImageTransform.fit('crop', (480, 640), INPUT_SIZE), everywhere) is None


def test_padding_and_border_are_not_allowed():
    allowed = allowed_map(ImageTransform.fit('letterbox', (400, 600), INPUT_SIZE), border=4)
    expected = np.zeros(INPUT_SIZE, np.uint8)
    expected[4:-4, 24:616] = 1
    assert allowed.dtype == np.uint8
    assert np.array_equal(allowed, expected)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('camera', [(400, 640), (480, 640), (1080, 1920), (240, 320)])
def test_mask_is_sampled_at_the_pixels_of_the_input(mode, camera):
    transform = ImageTransform.fit(mode, camera, INPUT_SIZE)
    mask = np.random.default_rng(7).integers(0, 2, camera, dtype=np.uint8) * 255
    allowed = allowed_map(transform, mask)
    y0, x0, y1, x1 = transform.valid
    for y, x in np.random.default_rng(8).integers((y0, x0), (y1, x1), (200, 2)):
        x_image, y_image = transform.to_image(float(x), float(y))
        row = min(max(round(y_image), 0), camera[0] - 1)
        col = min(max(round(x_image), 0), camera[1] - 1)
        assert allowed[y, x] == (mask[row, col] != 0)


def test_mask_of_another_size_raises():
    with pytest.raises(ValueError, match=r'mask: .*\(400, 640\).*\(480, 640\)'):
        allowed_map(
            ImageTransform.fit('crop', (480, 640), INPUT_SIZE), np.ones(INPUT_SIZE, np.uint8)
        )
