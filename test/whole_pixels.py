"""Detector settings whose keypoints are whole pixels, as most tests of the decoding expect."""

from superpoint_rknn.features.keypoints import DetectorSettings


def whole_pixels(**values) -> DetectorSettings:
    """Settings without refinement, unless `values` ask for it."""
    return DetectorSettings(**{'subpixel': False, 'refine': False, **values})
