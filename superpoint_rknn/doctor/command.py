"""
Check whether SuperPoint runs on this machine, and advise how to repair what does not.

Inspects the board, the NPU's driver and library, and the model, and runs the model on one image.

Example:
-------
  superpoint_rknn doctor
  superpoint_rknn doctor --model superpoint_rk3588.rknn --image photo.png --record out/
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from superpoint_rknn.doctor.machine import inspect_machine
from superpoint_rknn.doctor.report import machine_text, trial_text
from superpoint_rknn.doctor.trial import Trial, write_json, write_record
from superpoint_rknn.features.image import read_grey
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model, read_card
from superpoint_rknn.runtimes.open import open_runtime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        '--model',
        default='',
        help='model file, superpoint or superpoint_small (default: superpoint)',
    )
    parser.add_argument(
        '--runtime', default='auto', choices=('auto', 'librknn', 'rknnlite', 'onnx')
    )
    parser.add_argument('--pass-through', default='auto', choices=('auto', 'true', 'false'))
    parser.add_argument('--zero-copy', action='store_true', help='share memory with the NPU')
    parser.add_argument(
        '--core-mask',
        type=int,
        default=0,
        help='NPU cores to use, one bit per core (default: 0, the library chooses)',
    )
    parser.add_argument(
        '--image', type=Path, help='image to run the model on (default: a built-in one)'
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=300.0,
        help='[s] until the runtime is reported as blocked; loading takes minutes on an RV1126 '
        '(default: 300)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the report as JSON')
    parser.add_argument(
        '--record', type=Path, metavar='DIR', help='write the model input and the raw outputs'
    )


def run(arguments: argparse.Namespace) -> int:
    """
    Run the command; return 0 only if the model ran on an image.

    Prints what is known of the machine first, since the vendor's library may crash.
    """
    image = read_grey(arguments.image) if arguments.image else None
    soc = detect_soc()
    advice: list[str] = []
    report = inspect_machine(soc, advice)
    print(machine_text(report), flush=True)
    path = find_model(arguments.model, soc, arguments.runtime)
    if path.suffix == '.rknn' and path.is_file() and not _has_npu_runtime(report):
        report |= {'runtime': None, 'inference': None, 'advice': _advice_for_a_pc(path)}
        print(trial_text(report))
        if arguments.json is not None:
            write_json(arguments.json, report)
        return 1
    if soc and path.suffix == '.onnx':
        advice.append(
            f'the model runs on the CPU: name one for {soc} with --model (in the nodes: `model`)'
        )
    options = {
        'pass_through': arguments.pass_through,
        'zero_copy': arguments.zero_copy,
        'core_mask': arguments.core_mask,
    }
    trial = Trial(path, partial(open_runtime, path, arguments.runtime, **options), image)
    trial.start()
    trial.join(arguments.timeout)
    is_blocked = trial.is_alive()
    if is_blocked:
        advice.append(
            f'the runtime has not answered for {arguments.timeout:g} s ({trial.stage}): see '
            'dmesg, then reboot or reload the NPU driver; if loading takes longer, raise --timeout'
        )
    advice += trial.advice
    report |= {'runtime': trial.runtime, 'inference': trial.inference, 'advice': advice}
    print(trial_text(report), flush=True)
    if arguments.json is not None:
        write_json(arguments.json, report)
    if arguments.record and trial.recorded is not None:
        write_record(arguments.record, trial.recorded, report)
        print(f'outputs written to {arguments.record}')
    if is_blocked:  # a normal exit would wait for the library
        sys.stdout.flush()
        os._exit(1)
    return 0 if trial.inference else 1


def _has_npu_runtime(report: dict[str, Any]) -> bool:
    """Return whether this is a board, or something is installed that runs .rknn files."""
    board = report['board']
    libraries = any(not probe['reason'] for probe in board['libraries'])
    return board['soc'] is not None or board['rknnlite'] or libraries


def _advice_for_a_pc(path: Path) -> list[str]:
    """Return what can be done with a .rknn file on a machine without an NPU."""
    chip = str(read_card(path).get('target') or 'CHIP')
    simulate = f'analyze --simulator {chip} --images DIR'
    return [
        f'{path.name} needs the NPU of its chip ({chip}) and does not run on this machine',
        f'simulate that NPU: superpoint_rknn {simulate} (needs ./dev rknn-toolkit)',
        f'make such a file: superpoint_rknn convert --target {chip} --images DIR (the same)',
        'run the network on the CPU: superpoint_rknn doctor, without --model',
        f'on the board: superpoint_rknn doctor --model {path.name} --record DIR',
        'then here, with its DIR: superpoint_rknn analyze --board DIR',
    ]
