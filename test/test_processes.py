"""Child processes of a ROS graph."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superpoint_rknn.processes import (
    ProcessError,
    ProcessGroup,
    graph_variables,
    reserve_domain,
    stop,
)

IGNORE_SIGINT = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
EXIT_ON_SIGINT = 'signal.signal(signal.SIGINT, lambda *_: sys.exit(7))'


def start_python(group, name, code, pipes=True):
    return group.start(name, sys.executable, '-c', code, pipes=pipes)


def start_waiting(group, name, handler):
    code = f'import signal, sys, time\n{handler}\nprint("ready", flush=True)\ntime.sleep(60)'
    process = start_python(group, name, code)
    assert group.read_line(process, 60) == 'ready'
    return process


def test_a_process_that_fails_is_reported_with_its_last_error(tmp_path):
    lines = r'[ERROR] [12.5] [camera]: no camera\n[INFO] [12.6] [camera]: bye\n'
    code = f"import sys; sys.stderr.write('{lines}'); sys.exit(1)"
    with ProcessGroup(tmp_path) as group:
        player = start_python(group, 'player', code)
        with pytest.raises(ProcessError, match=r'player ended .* code 1 \(player: no camera\)'):
            group.read_line(player, 60)


def test_a_process_that_prints_nothing_causes_a_timeout(tmp_path):
    with ProcessGroup(tmp_path) as group:
        recorder = start_python(group, 'recorder', 'input()')
        with pytest.raises(ProcessError, match=r'recorder printed nothing for 0\.2 s'):
            group.read_line(recorder, 0.2)


def test_the_exit_of_any_process_ends_the_wait_for_another(tmp_path):
    with ProcessGroup(tmp_path) as group:
        recorder = start_python(group, 'recorder', 'input()')
        start_python(group, 'node', 'raise SystemExit("no model")', pipes=False)
        with pytest.raises(ProcessError, match=r'node ended .* code 1 \(node: no model\)'):
            group.read_line(recorder, 60)


def test_lines_are_written_and_read_and_finish_returns_the_rest(tmp_path):
    with ProcessGroup(tmp_path) as group:
        echo = start_python(group, 'echo', 'print(input() * 2); print(input() * 3)')
        echo.write_line('ab')
        waits = []
        assert group.read_line(echo, 60, waits.append) == 'abab'
        assert waits == sorted(waits)
        echo.write_line('c')
        assert group.finish(echo, 60) == 'ccc\n'
        assert group.processes == []


def test_lines_that_arrive_together_are_read_one_by_one(tmp_path):
    with ProcessGroup(tmp_path) as group:
        printer = start_python(group, 'printer', r'print("1\n\n2\nrest\nof it"); input()')
        assert [group.read_line(printer, 5) for _ in range(3)] == ['1', '', '2']
        printer.write_line('')
        assert group.finish(printer, 60) == 'rest\nof it\n'


def test_a_process_that_does_not_exit_causes_a_timeout(tmp_path):
    with ProcessGroup(tmp_path) as group:
        node = start_waiting(group, 'node', EXIT_ON_SIGINT)
        with pytest.raises(ProcessError, match=r'node did not end within 0\.1 s'):
            group.finish(node, 0.1)


def test_stop_interrupts_all_processes_and_kills_those_that_ignore_it(tmp_path):
    with ProcessGroup(tmp_path) as group:
        ignoring = [start_waiting(group, f'ignoring{n}', IGNORE_SIGINT) for n in range(2)]
        exiting = start_waiting(group, 'exiting', EXIT_ON_SIGINT)
        start = time.monotonic()
        stop([*ignoring, exiting], timeout=3.0)
        assert [process.returncode for process in (*ignoring, exiting)] == [
            -signal.SIGKILL
        ] * 2 + [7]
        assert 3.0 <= time.monotonic() - start < 5.5  # one timeout for all


def test_processes_get_the_variables_of_the_graph_and_end_with_its_context(tmp_path, monkeypatch):
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    names = ('ROS_DOMAIN_ID', 'FASTDDS_DEFAULT_PROFILES_FILE', 'EXTRA')
    code = (
        f'import json, os; values = [os.environ[name] for name in {names}]\n'
        'print(json.dumps(values), flush=True); input()'
    )
    with ProcessGroup(tmp_path) as group:
        command = (sys.executable, '-c', code)
        process = group.start('node', *command, pipes=True, variables={'EXTRA': '1'})
        domain, profile, extra = json.loads(group.read_line(process, 60))
        assert (domain, extra) == (str(group.domain), '1')
        assert '<segment_size>' in Path(profile).read_text()
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.parametrize(
    ('distro', 'more'),
    [
        ('humble', {'ROS_LOCALHOST_ONLY', 'FASTRTPS_DEFAULT_PROFILES_FILE'}),
        ('jazzy', {'FASTRTPS_DEFAULT_PROFILES_FILE'}),
        ('kilted', set()),
    ],
)
def test_variables_depend_on_the_distribution(monkeypatch, distro, more):
    monkeypatch.setenv('ROS_DISTRO', distro)
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/own.xml')
    variables = graph_variables(5)
    assert variables['FASTDDS_DEFAULT_PROFILES_FILE'] == '/own.xml'
    common = {'ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'FASTDDS_DEFAULT_PROFILES_FILE'}
    assert variables.keys() == common | more


def test_a_domain_in_use_is_not_taken(tmp_path, monkeypatch):
    used, reservation = reserve_domain()  # not one of another test's graph
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7410 + 250 * used))
        reservation.close()
        others = [domain for domain in range(1, 102) if domain != used]
        monkeypatch.setattr('random.sample', lambda *_: [used, *others])
        with ProcessGroup(tmp_path) as group:
            assert group.domain != used


def test_concurrent_graphs_have_different_domains(tmp_path):
    with contextlib.ExitStack() as groups:
        domains = [groups.enter_context(ProcessGroup(tmp_path)).domain for _ in range(40)]
    assert len(set(domains)) == 40


def test_processes_end_when_their_parent_is_killed(tmp_path, all_exited):
    code = (
        'import pathlib, sys\n'
        'from superpoint_rknn.processes import ProcessGroup\n'
        'group = ProcessGroup(pathlib.Path(sys.argv[1]))\n'
        'child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"\n'
        'process = group.start("child", sys.executable, "-c", child, pipes=True)\n'
        'print(group.read_line(process, 60), flush=True)\n'
        'input()\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path)]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as parent:
        child = parent.stdout.readline().strip()
        assert Path('/proc', child).exists()
        parent.kill()
    assert all_exited([child])
