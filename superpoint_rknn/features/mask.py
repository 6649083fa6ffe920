"""Mask: pixels of the model input where keypoints are allowed."""

from __future__ import annotations

import numpy as np

from superpoint_rknn.features.resize import ImageTransform


def allowed_map(
    transform: ImageTransform, mask: np.ndarray | None = None, border: int = 0
) -> np.ndarray | None:
    """
    Map the camera's mask to the model input and exclude the letterbox padding.

    mask: (height, width) of the camera image, no keypoints where it is 0; None: all allowed.
    border: minimum distance of keypoints from the padding [px of the model input].
    Returns (H, W) uint8, 0 where no keypoint is allowed; None if all pixels are allowed.
    Raises ValueError if the mask does not have the camera image's size.
    """
    y0, x0, y1, x1 = transform.valid
    padded = (y1 - y0, x1 - x0) != transform.input_size
    if mask is None and not padded:
        return None
    allowed = np.ones(transform.input_size, np.uint8)
    if padded:
        allowed[:] = 0
        allowed[y0 + border : max(y1 - border, 0), x0 + border : max(x1 - border, 0)] = 1
    if mask is not None:
        if mask.shape != transform.image_size:
            raise ValueError(
                f"mask: {mask.shape}, expected the camera image's size {transform.image_size}"
            )
        height, width = transform.input_size
        x, y = transform.to_image(np.arange(width, dtype=float), np.arange(height, dtype=float))
        rows = np.clip(np.rint(y).astype(np.intp), 0, mask.shape[0] - 1)
        cols = np.clip(np.rint(x).astype(np.intp), 0, mask.shape[1] - 1)
        allowed[mask[np.ix_(rows, cols)] == 0] = 0
    return None if allowed.all() else allowed
