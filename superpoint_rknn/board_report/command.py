"""
Prove that SuperPoint runs on this board, or show what is wrong, in three minutes without network.

Does what `doctor` does, compares the NPU's outputs with golden outputs of the CPU, tests the input
path, and measures the times of each step. Writes report.json and report.md, which hold neither
serial numbers nor host names nor paths, and the raw outputs for `superpoint_rknn analyze --board`.

Example:
-------
  superpoint_rknn board-report -o report/
  superpoint_rknn board-report -o report/ --model superpoint_rv1126.rknn
  superpoint_rknn board-report --check report.json
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import platform
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

from superpoint_rknn.board_report.judge import judge, passed
from superpoint_rknn.board_report.privacy import public_text
from superpoint_rknn.board_report.schema import SCHEMA, read_report, validate
from superpoint_rknn.board_report.session import Session
from superpoint_rknn.board_report.state import board_state
from superpoint_rknn.board_report.text import console, index, markdown
from superpoint_rknn.doctor.machine import inspect_machine
from superpoint_rknn.doctor.report import machine_text
from superpoint_rknn.doctor.trial import write_json
from superpoint_rknn.files import absolute_path, write_atomically
from superpoint_rknn.native.library import library
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import SHIPPED, find_model

TIMEOUT = 600.0  # [s]; loading takes minutes on an RV1126
START, END = '<!-- made by board-report --table -->', '<!-- end of the table -->'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument('-o', '--output', type=Path, metavar='DIR', help='measure; write to DIR')
    task.add_argument('--check', type=Path, metavar='FILE', help="judge somebody's report.json")
    task.add_argument(
        '--table', type=Path, metavar='DIR', help='write the table of the reports in DIR'
    )
    parser.add_argument(
        '--model', default='', help='model file or name (default: all shipped for this chip)'
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=TIMEOUT,
        help=f'[s] until the NPU is reported as blocked (default: {TIMEOUT:g})',
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return 0 only if every point passed."""
    if arguments.check:
        points = judge(read_report(arguments.check))
        print(console(points))
        return 0 if passed(points) else 1
    if arguments.table:
        return write_table(arguments.table)
    return _measure(arguments.output, arguments.model, arguments.timeout)


def write_table(folder: Path) -> int:
    """Write the table of all reports in a folder to its README.md; return the exit code."""
    readme = folder / 'README.md'
    text = readme.read_text(encoding='utf-8')
    if START not in text or END not in text:
        raise ValueError(f'{readme}: expected the lines {START} and {END}')
    reports = {path.stem: read_report(path) for path in sorted(folder.glob('*.json'))}
    table = index(reports) if reports else 'No report yet.'
    before, after = text.partition(START)[0], text.partition(END)[2]
    write_atomically(readme, f'{before}{START}\n\n{table}\n\n{END}{after}'.encode())
    return 0


def _measure(folder: Path, model: str, timeout: float) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    soc = detect_soc()
    advice: list[str] = []
    inspected = inspect_machine(soc, advice)
    print(machine_text(inspected), flush=True)
    paths = [find_model(name, soc) for name in ([model] if model else SHIPPED)]
    report = _machine_report(inspected, advice)
    session = Session(
        [absolute_path(path) for path in paths], soc, folder, partial(_on_stage, report, folder)
    )
    session.start()
    session.join(timeout)
    report |= _measured(session, is_complete=not session.is_alive())
    validate(report)
    write_json(folder / 'report.json', report)
    write_atomically(folder / 'report.md', markdown(report).encode())
    points = judge(report)
    print(console(points))
    request = '; please post both (docs/boards/README.md)' if soc else ''
    print(f'written: {folder / "report.md"}, {folder / "report.json"}{request}')
    if report['blocked']:  # a normal exit would wait for the library
        sys.stdout.flush()
        os._exit(1)
    return 0 if passed(points) else 1


def _on_stage(report: dict[str, Any], folder: Path, session: Session) -> None:
    """Print the stage, and write what is known, which remains if the library crashes."""
    print(f'{session.stage} ...', flush=True)
    write_json(folder / 'report.json', report | _measured(session, is_complete=False))


def _measured(session: Session, is_complete: bool) -> dict[str, Any]:
    """Return the parts of a report that a session has measured so far."""
    return {
        'blocked': None if is_complete else public_text(session.stage),
        'models': list(session.models),
        'host_times': list(session.host_times),
    }


def _machine_report(inspected: dict[str, Any], advice: list[str]) -> dict[str, Any]:
    """Return the parts of a report that are known before the models run."""
    board = inspected['board']
    kernel = re.match(r'\d+(\.\d+)*', platform.release())
    libraries = [
        {
            'file': public_text(probe['path']),
            'generation': probe['generation'],
            'version': probe['version'] and public_text(probe['version']),
            'reason': probe['reason'] and public_text(probe['reason']),
        }
        for probe in board['libraries']
    ]
    return {
        'schema': SCHEMA,
        'date': datetime.date.today().isoformat(),
        'system': {
            **inspected['system'],
            'kernel': kernel[0] if kernel else 'unknown',
            'ros': importlib.util.find_spec('rclpy') is not None,
            'native': library() is not None,
        },
        'board': {
            **board,
            'model': board['model'] and public_text(board['model']),
            'libraries': libraries,
        },
        'advice': [public_text(text) for text in advice],
        'state': board_state(),
    }
