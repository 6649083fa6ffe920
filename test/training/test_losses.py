"""Losses of the training; run it in .venv-train, which has torch."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='needs torch: see docs/training.md')
import torch

from superpoint_rknn.features.subpixel import peak_shift
from training.losses import detector_loss, fitted_peak, place_loss
from training.targets import cell_target

SIDE = 24
POINT = np.array([[11.3, 12.0]])


def logits_of(points):
    """Logits whose probabilities are the targets of points."""
    target, _ = cell_target(points, np.ones((SIDE, SIDE), np.uint8))
    return torch.from_numpy(target[None]).clamp_min(1e-8).log()


def test_places_without_error_cost_nothing():
    assert float(place_loss(logits_of(POINT), [torch.from_numpy(POINT)])) < 1e-3


def test_places_cost_their_distance():
    """Smooth L1: distance minus half of beta beyond beta = 0.2."""
    logits, wrong = logits_of(POINT), torch.from_numpy(POINT - np.array([0.5, 0]))
    assert float(place_loss(logits, [wrong])) == pytest.approx(0.5 - 0.1, abs=0.01)


def test_the_place_loss_moves_the_peak():
    logits = logits_of(POINT).requires_grad_()
    place_loss(logits, [torch.from_numpy(POINT + np.array([0.2, 0]))]).backward()
    slope = logits.grad[0, :64, 1, 1].reshape(8, 8)[4]  # of y = 12
    assert slope[4] < 0 < slope[2]  # of x = 12 and x = 10


def test_the_fit_is_that_of_detector_subpixel():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (65, 9)).astype(np.float32)
    pixels = np.array([9 * SIDE + 10, 14 * SIDE + 12])
    log_probability = torch.from_numpy(logits).log_softmax(0)[:64].reshape(1, 64, 3, 3)
    image = torch.pixel_shuffle(log_probability, 8)[0, 0]
    patches = torch.stack([image[y - 1 : y + 2, x - 1 : x + 2] for y, x in ((9, 10), (14, 12))])
    offset, is_peak = fitted_peak(patches)
    shift = np.stack(peak_shift(logits, pixels, (SIDE, SIDE)), axis=1)
    expected = np.clip(offset.numpy(), -0.5, 0.5) * is_peak.numpy()[:, None]
    assert np.allclose(shift, expected, atol=1e-5)


def test_masked_cells_do_not_count():
    logits, target = torch.zeros(1, 65, 1, 2), torch.zeros(1, 65, 1, 2)
    target[0, 64, 0, 0] = 1
    target[0, 3, 0, 1] = 1
    logits[0, 3, 0, 1] = -50
    mask = torch.tensor([[[1.0, 0.0]]])
    assert float(detector_loss(logits, target, mask)) == pytest.approx(np.log(65), abs=1e-4)
