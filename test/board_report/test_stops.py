"""A library that does not return, or crashes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rknn_standin import PREBUILT

from superpoint_rknn.cli import main

starts_a_process = pytest.mark.skipif(
    PREBUILT in os.environ, reason='the stand-ins are for an emulated processor'
)
RUN_ON_STANDIN = Path(__file__).parents[1] / 'rknn_standin' / 'run_on_standin.py'


def on_blocked_npu(standin_libraries, model, folder, timeout):
    """Start the command on a stand-in whose rknn_run does not return."""
    library = standin_libraries[2]
    folders = [str(library.parent), os.environ.get('LD_LIBRARY_PATH', '')]
    faults = ['constant', 'block:rknn_run']
    program = [RUN_ON_STANDIN, 'superpoint_rknn.cli', library, 2, *faults, '--']
    arguments = ['board-report', '-o', folder, '--model', model, '--timeout', timeout]
    return subprocess.Popen(
        [sys.executable, *map(str, program + arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'LD_LIBRARY_PATH': os.pathsep.join(folders)},
    )


@starts_a_process
def test_a_blocked_npu_is_reported_with_what_is_known(standin_libraries, model, tmp_path):
    process = on_blocked_npu(standin_libraries, model, tmp_path / 'out', 8)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['blocked'] == f'input paths, {model.name}'
    assert f'fail  completed: stopped at: input paths, {model.name}' in out


@starts_a_process
def test_a_crash_leaves_a_report_that_names_the_stage(standin_libraries, model, tmp_path, capsys):
    process = on_blocked_npu(standin_libraries, model, tmp_path / 'out', 120)
    with process:
        for line in process.stdout:
            if line.startswith('input paths'):
                break
        path, end = tmp_path / 'out' / 'report.json', time.monotonic() + 30
        while 'input paths' not in path.read_text() and time.monotonic() < end:
            time.sleep(0.05)
        process.kill()
    assert main(['board-report', '--check', str(path)]) == 1
    out = capsys.readouterr().out
    assert f'fail  completed: stopped at: input paths, {model.name}' in out
