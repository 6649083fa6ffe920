"""What the contrast of a cell, strongest logit - logit of "no point", tells of its scores."""

from __future__ import annotations

import math


def highest_score(contrast: float) -> float:
    """
    Highest score that a pixel of a cell can have: sigmoid(contrast).

    The softmax's denominator holds at least the pixel's own term and that of "no point".
    """
    return 1 / (1 + math.exp(-contrast)) if contrast > -700 else 0.0


def least_contrast(score: float) -> float:
    """
    Least contrast of a cell with a pixel above a score.

    The margin is far wider than what float32 rounds off.
    """
    lowest = score * (1 - 1e-4)
    return math.log(lowest / (1 - lowest)) - 1e-4 if lowest else -math.inf
