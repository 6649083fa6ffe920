"""
Average the weights of several runs and equalize them for 8 bits.

The mean of several runs with the same start, or of a run and its start, is often better than each
of them. Do not average outputs of this command: equalization scales channels of each network
differently. One output and runs that start from it have the same scales.

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

MAX_GAIN = 8.0  # of a channel


def main(arguments: list[str] | None = None) -> int:
    """Average files of weights; returns the exit code."""
    parser = argparse.ArgumentParser(
        description='Average the weights of runs with the same start.'
    )
    parser.add_argument('weights', type=Path, nargs='+', help='files written by training')
    parser.add_argument('-o', '--output', type=Path, required=True)
    args = parser.parse_args(arguments)
    found = [arrays(load_weights(path)) for path in args.weights]
    mean = {name: sum(f[name] for f in found) / np.float32(len(found)) for name in found[0]}
    np.savez(args.output, **equalized(mean))
    return 0


def equalized(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """
    Equalize the channels of conv1a without changing the output of the network.

    8-bit weights have one scale for all channels. A ReLU network is unchanged if a channel is
    multiplied and the weights that read it are divided by the same factor (Nagel et al.,
    Data-Free Quantization, 2019, section 4.1). The square root is a compromise: with equal
    weights the activations would differ instead.
    weights: arrays of an .npz of weights, by name; returned in the same form.
    """
    size = np.abs(weights['conv1a.weight']).max((1, 2, 3))
    gain = np.minimum(np.sqrt(size.max() / np.maximum(size, 1e-9)), MAX_GAIN).astype(np.float32)
    return {
        **weights,
        'conv1a.weight': weights['conv1a.weight'] * gain[:, None, None, None],
        'conv1a.bias': weights['conv1a.bias'] * gain,
        'conv1b.weight': weights['conv1b.weight'] / gain[None, :, None, None],
    }


if __name__ == '__main__':
    sys.exit(main())
