"""
From runs to a network that ships: the mean of their weights, evened out for 8 bits.

The mean of several runs that began alike is often a better network than each of them. Its own
output is no input for another mean: evening out moves channels apart.

Example:
-------
  python -m training.average leg1/superpoint.npz leg2/superpoint.npz -o superpoint.npz

"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from superpoint_rknn.network.weights import load_weights
from training.network import arrays

MOST = 8.0  # that a channel is raised by


def main(arguments: list[str] | None = None) -> int:
    """Average files of weights; returns the exit code."""
    parser = argparse.ArgumentParser(description='Average weights of runs that began alike.')
    parser.add_argument('weights', type=Path, nargs='+', help='files that training wrote')
    parser.add_argument('-o', '--output', type=Path, required=True)
    args = parser.parse_args(arguments)
    found = [arrays(load_weights(path)) for path in args.weights]
    mean = {name: sum(f[name] for f in found) / np.float32(len(found)) for name in found[0]}
    np.savez(args.output, **evened(mean))
    return 0


def evened(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """
    The same network, with conv1a's channels nearer to one size: 8 bits have one scale for all.

    A ReLU network stays the same when a channel is multiplied by what its readers are divided by
    (Nagel et al., Data-Free Quantization, 2019, section 4.1). The square root is a compromise:
    channels of equal weights would have activations that are not.
    weights: as an .npz of weights has them, and so returned.
    """
    size = np.abs(weights['conv1a.weight']).max((1, 2, 3))
    gain = np.minimum(np.sqrt(size.max() / np.maximum(size, 1e-9)), MOST).astype(np.float32)
    return {
        **weights,
        'conv1a.weight': weights['conv1a.weight'] * gain[:, None, None, None],
        'conv1a.bias': weights['conv1a.bias'] * gain,
        'conv1b.weight': weights['conv1b.weight'] / gain[None, :, None, None],
    }


if __name__ == '__main__':
    sys.exit(main())
