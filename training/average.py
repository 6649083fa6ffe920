"""
The mean of several runs' weights: often a better network than each of them.

Example:
-------
  python -m training.average leg1/superpoint.npz leg2/superpoint.npz -o superpoint.npz

"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from superpoint_rknn.model.weights import load_weights
from training.network import arrays


def main(arguments: list[str] | None = None) -> int:
    """Average files of weights; returns the exit code."""
    parser = argparse.ArgumentParser(description='Average weights of runs that began alike.')
    parser.add_argument('weights', type=Path, nargs='+', help='files that training wrote')
    parser.add_argument('-o', '--output', type=Path, required=True)
    args = parser.parse_args(arguments)
    found = [arrays(load_weights(path)) for path in args.weights]
    np.savez(
        args.output,
        **{name: sum(f[name] for f in found) / np.float32(len(found)) for name in found[0]},
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
