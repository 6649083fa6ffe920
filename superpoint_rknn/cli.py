"""The command `superpoint_rknn`: one subcommand a task, each in a module of its own."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

# name: purpose; superpoint_rknn.NAME.command defines `add_arguments(parser)`
# and `run(arguments) -> exit code`
COMMANDS = {
    'doctor': 'what runs here, and what to do about what does not',
    'extract': 'recordings -> bags of features, offline',
    'replay': 'play a recording into a running graph, losing no image',
    'bench': 'how long the host takes for each image',
    'quantize': 'float network and images -> 8-bit network',
    'convert': 'float network and images -> .rknn for an NPU',
    'analyze': 'what 8 bits cost, layer by layer',
    'evaluate': 'how well features repeat and match',
}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns its exit code, 0 only if what was asked was done."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ('-h', '--help'):
        print('usage: superpoint_rknn COMMAND [-h] ...\n')
        for name, purpose in COMMANDS.items():
            print(f'  {name:10} {purpose}')
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        return complain(f'no command {name!r}; there are {", ".join(COMMANDS)}', 2)
    try:
        module = import_module(f'superpoint_rknn.{name}.command')
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('superpoint_rknn'):
            raise
        return complain(f'{name} needs {error.name}: pip install onnx onnxruntime rosbags tqdm')
    parser = argparse.ArgumentParser(
        prog=f'superpoint_rknn {name}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        return module.run(parser.parse_args(arguments[1:]))
    except KeyboardInterrupt:
        return complain('interrupted', 130)
    except (OSError, RuntimeError, ValueError) as error:
        return complain(str(error))


def complain(text: str, code: int = 1) -> int:
    """Print one line to stderr; returns the exit code."""
    print('superpoint_rknn: ' + ' '.join(text.split()), file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
