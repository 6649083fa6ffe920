"""Damaged and hostile files end in ValueError or ModelError, soon and within little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('untrusted_files.py')
ROUNDS = 200


def test_mutated_files_end_in_the_errors_of_their_readers(tmp_path):
    for package in ('yaml', 'onnx', 'onnxruntime'):
        pytest.importorskip(package)
    result = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert (result.returncode, result.stdout) == (0, 'read\n'), result.stderr[-2000:]
