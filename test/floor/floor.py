"""
Compare the CPU time per image of the superpoint node with that of the least node in C, floor.c.

  ./dev bench --floor [--json FILE] [--check]

Both get the same recorded outputs of the network for the same images, in turn, at several rates;
the node with both of its executors. It needs the recordings of `./dev bench`, or makes them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from superpoint_rknn.bench.command import SIZES
from superpoint_rknn.bench.graph import RATES, cpu_ms_per_image
from superpoint_rknn.bench.recordings import Recording, load_recording, recording_path
from superpoint_rknn.nodes.common.executor import WAIT_SET, EventsExecutor

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
MOST_RATIO, AT_RATE = 2.1, 60.0  # that --check accepts, with the EventsExecutor
ROUNDS, SECONDS = 3, 4.0
DESCRIPTORS = 5.0  # [Hz] the node's default, and PERIOD of floor.c
MESSAGES = ('sensor_msgs', 'std_msgs', 'builtin_interfaces', 'superpoint_rknn')
LIBRARIES = (
    *('rcl', 'rcutils', 'rmw', 'rosidl_runtime_c', 'm'),
    *(f'{m}__rosidl_{kind}' for m in MESSAGES for kind in ('typesupport_c', 'generator_c')),
)
TYPES = ('uint8', 'int8', 'float32')  # in the order of features.c


def build(folder: Path) -> Path:
    """Compile floor.c with the system's compiler; return the program."""
    named = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    prefixes = [Path(p) for p in dict.fromkeys(named) if p and Path(p, 'include').is_dir()]
    program = folder / 'floor'
    command = ['cc', '-std=gnu11', '-O3', '-fno-math-errno', '-fopenmp-simd']  # CMakeLists.txt
    command += ['-Wall', '-Wextra', '-Werror']
    command += ['-o', str(program), str(HERE / 'floor.c'), f'-I{CHECKOUT}']
    for prefix in prefixes:
        command += [
            f'-I{path}' for path in prefix.glob('include/*') if (path / path.name).is_dir()
        ]
        command += [f'-L{prefix}/lib', f'-Wl,-rpath,{prefix}/lib']
    command += [*(f'-l{name}' for name in LIBRARIES), '-Wl,--allow-shlib-undefined']
    # Libraries of the ROS wheels refer to Python's, in which they expect to be loaded.
    folder_of_python, version = sysconfig.get_config_vars('LIBDIR', 'LDVERSION')
    command += [f'-L{folder_of_python}', f'-Wl,-rpath,{folder_of_python}']
    command += ['-Wl,--no-as-needed', f'-lpython{version}']
    subprocess.run(command, check=True)
    return program


def write_inputs(recording: Recording, folder: Path) -> list[str]:
    """Write the files that floor.c reads; return its arguments."""
    files = []
    for name, values in (('logits', recording.logits), ('maps', recording.raw)):
        files.append(str(folder / name))
        values.tofile(files[-1])
    _, channels, rows, cols = recording.raw.shape
    quantization = recording.quantization
    zero_point = 0 if quantization is None else quantization.zero_point
    kind = TYPES.index(recording.raw.dtype.name)
    return [*files, *map(str, (rows, cols, channels, kind, zero_point))]


def compare(recording: Path, floor: Sequence[str], rate: float, executor: str) -> dict:
    """Measure both in turn; executor: of the node. Returns a row."""
    node = [sys.executable, '-m', 'superpoint_rknn.bench.measured_node', str(recording)]
    variables = {WAIT_SET: '1' if executor == 'wait_set' else ''}
    figures: dict[str, list[float]] = {'node': [], 'floor': []}
    for _ in range(ROUNDS):
        for name, command in (('node', node), ('floor', floor)):
            cpu, answered, described = cpu_ms_per_image(
                recording, command, rate, SECONDS, **variables
            )
            figures[name].append(cpu)
            if answered < 0.98 or abs(described - DESCRIPTORS) > 0.5:
                print(
                    f'{name} at {rate:g} Hz: {answered:.0%} of the images, {described:.1f} '
                    f'descriptors a second: not comparable',
                    file=sys.stderr,
                )
    medians = {f'{name}_ms': statistics.median(values) for name, values in figures.items()}
    ratio = medians['node_ms'] / medians['floor_ms']
    return {'executor': executor, 'rate_hz': rate, **medians, 'ratio': ratio, 'rounds': figures}


def main() -> int:
    """Print the rows; return 1 if --check is given and the node costs too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--recordings', type=Path, required=True, help='folder of the recordings')
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--check', action='store_true')
    arguments = parser.parse_args()
    recording = load_recording(arguments.recordings, SIZES[0])
    path = recording_path(arguments.recordings, SIZES[0])
    executors = ['wait_set'] if EventsExecutor is None else ['events', 'wait_set']
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        floor = [str(build(Path(folder))), *write_inputs(recording, Path(folder))]
        for executor in executors:
            for rate in RATES:
                row = compare(path, floor, rate, executor)
                rows.append(row)
                print(
                    f'{executor:8} {rate:5g} Hz: node {row["node_ms"]:.3f} ms, floor '
                    f'{row["floor_ms"]:.3f} ms of CPU per image, ratio {row["ratio"]:.2f}',
                    flush=True,
                )
    if arguments.json:
        report = {'load': os.getloadavg(), 'rows': rows}
        arguments.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    (checked,) = (r for r in rows if r['executor'] == executors[0] and r['rate_hz'] == AT_RATE)
    if arguments.check and checked['ratio'] > MOST_RATIO:
        print(
            f'floor: the node costs {checked["ratio"]:.2f} times the floor at {AT_RATE:g} Hz, '
            f'expected at most {MOST_RATIO}',
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
