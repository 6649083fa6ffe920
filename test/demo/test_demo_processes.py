"""The processes of the demo."""

import os
import subprocess
import sys
from pathlib import Path

import processes
import pytest


def test_a_process_that_fails_is_reported_with_its_last_words(tmp_path):
    with processes.Processes(tmp_path) as running:
        running.start('player', '-c', 'import sys; sys.exit("no camera")')
        with pytest.raises(processes.ProcessError, match=r'player ended .* code 1 .*no camera'):
            running.hear('player', 60)


def test_a_process_that_stays_silent_is_given_up(tmp_path):
    with processes.Processes(tmp_path) as running:
        running.start('recorder', '-c', 'import sys; sys.stdin.readline()')
        with pytest.raises(processes.ProcessError, match='recorder said nothing for 0'):
            running.hear('recorder', 0.2)


def test_lines_go_to_and_fro(tmp_path):
    with processes.Processes(tmp_path) as running:
        running.start('echo', '-c', 'print(input() * 2)')
        running.tell('echo', 'ab')
        assert running.hear('echo', 60) == 'abab'
        running.finish('echo')


def test_no_process_outlives_a_demo_that_is_killed(tmp_path, all_gone):
    code = (
        'import sys, pathlib, processes\n'
        'running = processes.Processes(pathlib.Path(sys.argv[1]))\n'
        'child = "import os; print(os.getpid(), flush=True); input()"\n'
        'running.start("child", "-c", child)\n'
        'print(running.hear("child", 60), flush=True)\n'
        'input()\n'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path)],
        env=os.environ | {'PYTHONPATH': str(Path(processes.__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        child = parent.stdout.readline().strip()
        assert Path('/proc', child).exists()
        parent.kill()
    assert all_gone([child])
