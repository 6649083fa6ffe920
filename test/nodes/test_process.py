"""What the process of a node holds and does on a board, with a stand-in for Rockchip's library."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters
from superpoint.test_standin_node import arguments, library_path

from superpoint_rknn.memory import resident_mb

IMAGES = 100
MEASURED = 300  # images; a further buffer of descriptors has 125 pages, once
MOST_MEGABYTES = 75  # of anonymous memory; 58 to 61 were measured
NOT_FOR_NPUS = {  # modules
    *('matplotlib', 'onnx', 'onnxruntime', 'rosbags', 'skimage', 'tqdm'),
    *('superpoint_rknn.tracking', 'superpoint_rknn.network', 'lark', 'tempfile'),
}
USER = """
import ctypes
from pathlib import Path
import sys
import numpy as np
import rclpy
from rknn_standin import Standin
from superpoint_rknn import FrontEnd

class MallocInfo(ctypes.Structure):  # see mallinfo(3)
    _fields_ = [(name, ctypes.c_int) for name in ('arena', 'chunks', 'fast', 'mapped')]
    _fields_ += [('others', ctypes.c_int * 6)]

libc = ctypes.CDLL(None)
libc.mallinfo.restype = MallocInfo
Standin(2, Path(sys.argv[1])).set_superpoint()
rclpy.init()
with FrontEnd(parameters={'model': sys.argv[2]}):
    before = libc.mallinfo().mapped
    array = np.empty(2**26, np.uint8)  # above the highest threshold from which glibc uses mmap
    print('arrays by mmap:', libc.mallinfo().mapped - before)
"""


def page_faults(process):
    """Minor page faults of a process so far, see proc(5)."""
    stat = Path(f'/proc/{process.pid}/stat').read_text()
    return int(stat.rpartition(') ')[2].split()[7])


@pytest.fixture
def node(rig, standin_libraries, model):
    program = map(str, arguments(standin_libraries[2], 2, 'constant'))
    return rig.start(*program, env=library_path(standin_libraries[2]), model=model)


def test_memory_page_faults_and_imports(rig, node):
    image = np.random.default_rng(0).integers(0, 256, (400, 640), np.uint8)
    for _ in range(IMAGES):
        rig.send_and_wait(image)
    before = page_faults(node)
    for _ in range(MEASURED):
        rig.send_and_wait(image)
    assert (page_faults(node) - before) / MEASURED < 1
    assert resident_mb(node.pid, ['RssAnon']) < MOST_MEGABYTES
    assert len(rig.keypoints[-1].x) == 500
    assert rig.graph.interrupt(node)[0] == 0
    (line,) = (n for n in node.log.read_text().splitlines() if n.startswith('imported: '))
    modules = set(line.split())
    assert {'cv2', 'rclpy', 'superpoint_rknn.runtimes.rknn.runtime'} <= modules
    assert modules & NOT_FOR_NPUS == set()


def test_a_users_process_gives_freed_memory_back(graph, standin_libraries, model):
    library = standin_libraries[2]
    environment = library_path(library) | {
        'PYTHONPATH': str(Path(__file__).parents[1] / 'rknn_standin')
    }
    user = graph.start_program(sys.executable, '-c', USER, library, model, env=environment)
    graph.group.finish(user, 30.0)
    assert 'arrays by mmap: 1\n' in user.log.read_text()


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ('mask:', "No value at line 3: write '' for an empty text, or delete the line"),
        (
            'cameras: [on, cam1]',
            'line_num 3: write all items as numbers of one kind, or in quotes',
        ),
        (None, 'Error opening YAML file: give the path of a readable file'),
    ],
)
def test_an_unreadable_parameter_file_is_refused_in_one_line(graph, tmp_path, values, reason):
    path = tmp_path / 'given.yaml'
    if values is not None:
        path.write_text(f'tracker:\n  ros__parameters:\n    {values}\n')
    module = 'superpoint_rknn.nodes.tracker.node'
    process = graph.start('-m', module, '--ros-args', '--params-file', str(path))
    assert process.wait(30) == 1
    output = process.log.read_text()
    assert 'Traceback' not in output
    (line,) = (text for text in output.splitlines() if text.startswith('not started: '))
    assert str(path) in line
    assert line.endswith(reason)


def test_a_domain_that_fast_dds_does_not_accept_is_refused_in_one_line(graph):
    process = graph.start('-m', 'superpoint_rknn.nodes.tracker.node', env={'ROS_DOMAIN_ID': '300'})
    assert process.wait(30) == 1
    assert process.log.read_text() == "not started: ROS_DOMAIN_ID: '300', expected 0 to 232\n"


LOST = """
import sys
from superpoint_rknn.nodes.common import process
from superpoint_rknn.nodes.tracker.node import TrackerNode

process._spin = lambda *arguments: True  # a call did not return; it does during the shutdown
sys.exit(process.run_node(TrackerNode))
"""


def test_a_process_that_gave_up_a_call_has_its_exit_code_even_if_the_call_returns(graph):
    process = graph.start('-c', LOST)
    assert process.wait(30) == 75


def test_missing_keys_of_an_encrypted_graph_are_said_in_one_line(graph, tmp_path):
    (tmp_path / 'enclaves' / 'robot').mkdir(parents=True)
    env = {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'}
    env['ROS_SECURITY_KEYSTORE'] = str(tmp_path)
    module = 'superpoint_rknn.nodes.tracker.node'
    process = graph.start('-m', module, '--ros-args', '--enclave', '/robot', env=env)
    assert process.wait(30) == 1
    output = process.log.read_text()
    assert 'Traceback' not in output
    assert 'not started: ' in output


NODES = ('superpoint.node', 'tracker.node', 'front_end')
SLOW_IMPORT = """
import sys, time
print('importing', flush=True)
time.sleep(30)
"""


def wait_for_output(graph, process, text):
    graph.wait(lambda: text in process.log.read_text(), f'the output {text!r}')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('module', NODES)
def test_a_signal_during_the_imports_ends_the_process(graph, tmp_path, module, number):
    (tmp_path / 'rclpy.py').write_text(SLOW_IMPORT)
    path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
    process = graph.start('-m', f'superpoint_rknn.nodes.{module}', env={'PYTHONPATH': path})
    wait_for_output(graph, process, 'importing')
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    assert process.log.read_text() == 'importing\n'


def test_a_second_sigint_ends_the_process_at_once(graph, standin_libraries, model):
    library = standin_libraries[2]
    program = map(str, arguments(library, 2, 'block:rknn_destroy'))
    process = graph.start(*program, env=library_path(library), model=model)
    wait_for_output(graph, process, 'active: ')
    process.send_signal(signal.SIGINT)
    assert not graph.spin(lambda: process.poll() is not None, 0.3)  # it waits for the library
    process.send_signal(signal.SIGINT)
    assert process.wait(0.5) == 130
    assert 'Traceback' not in process.log.read_text()


@pytest.mark.parametrize('place', ['a file', 'no folder', 'no HOME'])
def test_without_a_log_folder_the_node_runs_and_says_so(graph, tmp_path, place):
    blocked = tmp_path / 'file'
    blocked.touch()
    folder = {'a file': blocked, 'no folder': '/proc/self/log', 'no HOME': ''}[place]
    unset = ['-u', 'HOME', '-u', 'ROS_HOME'] if place == 'no HOME' else []
    process = graph.start_program(
        *('env', *unset, f'ROS_LOG_DIR={folder}', sys.executable),
        *('-m', 'superpoint_rknn.nodes.tracker.node', '--ros-args', '-p', 'max_tracks:=7'),
    )
    wait_for_output(graph, process, 'active: ')
    request = GetParameters.Request(names=['max_tracks'])
    response = graph.call(GetParameters, 'tracker/get_parameters', request)
    assert response.values[0].integer_value == 7
    assert graph.interrupt(process)[0] == 0
    shown = folder or '~/.ros/log, without HOME,'
    warnings = [t for t in process.log.read_text().splitlines() if t.startswith('[WARN]')]
    assert len(warnings) == 1
    assert f'no log file: {shown} can not be written; set ROS_LOG_DIR' in warnings[0]
    assert 'Traceback' not in process.log.read_text()


def test_a_node_of_the_same_name_is_warned_of_once(graph):
    program = ('-m', 'superpoint_rknn.nodes.tracker.node')
    first = graph.start(*program)
    graph.wait(lambda: 'active: ' in first.log.read_text(), 'the node')
    warning = 'another node has the name /tracker: everything is published twice'
    graph.spin(lambda: False, 1.5)
    assert warning not in first.log.read_text()
    second = graph.start(*program)
    for process in (first, second):
        graph.wait(lambda log=process.log: warning in log.read_text(), 'the warning')
    graph.spin(lambda: False, 2.5)
    assert first.log.read_text().count(warning) == 1
