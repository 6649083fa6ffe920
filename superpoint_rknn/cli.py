"""The command `superpoint_rknn` and its subcommands, each in a package of its own."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from superpoint_rknn.dependencies import import_problem, pip_install
from superpoint_rknn.errors import one_line

# Name and purpose; superpoint_rknn.NAME.command (with _ for -) defines `add_arguments(parser)` and
# `run(arguments) -> exit code`.
COMMANDS = {
    'doctor': 'check library, driver and model on this machine',
    'board-report': 'prove on a board that all of it works, with times',
    'extract': 'recordings -> bags of features, offline',
    'replay': 'play a recording into a running graph without losing an image',
    'view': 'show images, keypoints, tracks, matches, path and timings live in a browser',
    'layouts': 'write files for RViz and Foxglove that show given cameras',
    'bench': 'measure the time that the host takes for each image',
    'quantize': 'float network and images -> 8-bit model',
    'convert': 'float network and images -> .rknn for an NPU',
    'analyze': 'measure the quantization error of each layer',
    'evaluate': 'measure how well keypoints repeat and descriptors match',
    'vio': 'measure the errors of visual-inertial odometry on the tracks',
}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return its exit code, 0 only if it did all that was asked."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ('-h', '--help'):
        print('usage: superpoint_rknn COMMAND [-h] ...\n')
        for name, purpose in COMMANDS.items():
            print(f'  {name:12} {purpose}')
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        return print_error(f'no command {name!r}; expected one of {", ".join(COMMANDS)}', 2)
    problem = import_problem()
    if problem and name == 'doctor':
        print(f'advice       {problem}')
        return 1
    if problem:
        return print_error(problem)
    try:
        module = import_module(f'superpoint_rknn.{name.replace("-", "_")}.command')
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('superpoint_rknn'):
            raise
        packages = ['onnx', 'onnxruntime', 'rosbags', 'tqdm', 'matplotlib', 'jinja2']
        command = pip_install(*packages, *(['gtsam', 'evo'] if name == 'vio' else []))
        return print_error(f'{name} needs {error.name}: {command}')
    except FileNotFoundError as error:  # package.xml, for the version
        return print_error(str(error))
    parser = argparse.ArgumentParser(
        prog=f'superpoint_rknn {name}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        return module.run(parser.parse_args(arguments[1:]))
    except KeyboardInterrupt:
        return print_error('interrupted', 130)
    except (OSError, RuntimeError, ValueError) as error:
        return print_error(str(error))


def print_error(text: str, code: int = 1) -> int:
    """Print one line to stderr; return the exit code."""
    print(f'superpoint_rknn: {one_line(text)}', file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
