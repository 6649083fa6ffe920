"""
Measure which messages of the nodes pass a network link with loss, delay and a limited rate.

  ./dev network-test [--seconds N] [--boards N] [--json FILE]

Robot and base station are network namespaces of this machine, joined by relay.py. Camera and
superpoint node, which returns recorded outputs of the network, run on the robot; a receiver that
subscribes as an estimator does, on the base station. Every case is measured with both profiles
of Fast DDS, at each loss. Needs root.
With --boards, so many robots with a link each publish to one base station, at a loss of 1 %, with
multicast and with ROS_STATIC_PEERS instead.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from hosts import missing
from link_cases import CASES, DELAY, LOSSES, PROFILES, RATE, measure

from superpoint_rknn.bench.command import SIZES
from superpoint_rknn.bench.recordings import load_recording, recording_path, write_recording
from superpoint_rknn.processes import ProcessError
from superpoint_rknn.progress import tqdm

BOARDS_LOSS = 0.01
HEADER = ('case', 'profile', 'loss', 'topic', 'share', 'p50 [ms]', 'p95 [ms]', 'kB/s')
FORMAT = '{:<16}{:<9}{:>5}  {:<24}{:>7}{:>10}{:>10}{:>8}'


def table(row: dict[str, Any]) -> str:
    """Return the lines of one measurement."""
    lines = [
        FORMAT.format(
            *(row['case'], row['profile'], f'{100 * row["loss"]:g} %', topic),
            *(
                '-' if figures[key] is None else figures[key]
                for key in ('share', 'p50_ms', 'p95_ms', 'kbyte_per_s')
            ),
        )
        for topic, figures in row['topics'].items()
    ]
    link = row['link']
    lines.append(
        f'  link: {link["sent_mbit_s"]} of {RATE / 1e6:g} Mbit/s sent, '
        f'{link["dropped_mbit_s"]} Mbit/s dropped by full queues'
    )
    return '\n'.join(lines)


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seconds', type=float, default=20.0, help='of images, for each row')
    parser.add_argument('--boards', type=int, default=0, help='measure so many robots at once')
    parser.add_argument('--case', choices=CASES, action='append', help='only this case')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures as JSON')
    parser.add_argument('--recordings', type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if reason := missing():
        print(f'network-test: {reason}', file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.boards:
        runs = [
            (CASES['tracks'], profile, BOARDS_LOSS, has_multicast)
            for profile in PROFILES
            for has_multicast in (True, False)
        ]
    else:
        cases = [CASES[name] for name in arguments.case or CASES]
        runs = [
            (case, profile, loss, True)
            for case in cases
            for profile in PROFILES
            for loss in LOSSES
        ]
    rows: list[dict[str, Any]] = []
    failed = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            recording = recording_path(Path(folder), SIZES[0])
            write_recording(recording, load_recording(arguments.recordings, SIZES[0], count=1))
            print(f'{RATE / 1e6:g} Mbit/s, {1e3 * DELAY:g} ms in each direction')
            print(FORMAT.format(*HEADER))
            for case, profile, loss, has_multicast in tqdm(runs, disable=None):
                name = case.name if has_multicast else f'{case.name}, peers'
                row = {'case': name, 'profile': profile, 'loss': loss}
                try:
                    row |= measure(
                        *(recording, case, PROFILES[profile], loss, arguments.seconds),
                        *(arguments.boards or 1, has_multicast),
                    )
                    tqdm.write(table(row))
                except ProcessError as error:
                    failed = True
                    row['error'] = str(error)
                    tqdm.write(f'{name}, {profile}, {100 * loss:g} %: failed: {error}')
                rows.append(row)
    except KeyboardInterrupt:
        print('network-test: interrupted', file=sys.stderr)
        return 130
    finally:
        if arguments.json:
            arguments.json.write_text(json.dumps({'rows': rows}, indent=2) + '\n')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
