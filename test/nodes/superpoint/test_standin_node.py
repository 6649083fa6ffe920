"""The node on a stand-in for Rockchip's library, compared with the node on the CPU runtime."""

import os
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ros_graph import Graph, Rig

SCRIPT = Path(__file__).parents[2] / 'rknn_standin' / 'run_on_standin.py'


def arguments(library, generation, *faults):
    return [SCRIPT, 'superpoint_rknn.nodes.superpoint.node', library, generation, *faults, '--']


def library_path(library):
    """Environment in which the loader finds the stand-in."""
    folders = [str(library.parent), os.environ.get('LD_LIBRARY_PATH', '')]
    return {'LD_LIBRARY_PATH': os.pathsep.join(folders)}


@pytest.fixture
def start(rig, standin_libraries, model):
    def start(generation, *faults, **parameters):
        library = standin_libraries[generation]
        program = map(str, arguments(library, generation, *faults))
        return rig.start(*program, env=library_path(library), model=model, **parameters)

    return start


@pytest.fixture(scope='module')
def on_cpu(tmp_path_factory, photo):
    """Keypoints and descriptors of the photograph from the node on the CPU runtime."""
    graph = Graph(tmp_path_factory.mktemp('cpu'))
    try:
        rig = Rig(graph)
        rig.start()
        yield features(rig, photo)
    finally:
        graph.close()


def features(rig, photo):
    _, keypoints = rig.send_and_wait(photo)
    rig.graph.wait(lambda: rig.descriptors, 'descriptors')
    return keypoints, rig.descriptors[0]


@pytest.mark.parametrize('zero_copy', ['false', 'true'], ids=['copied', 'shared'])
@pytest.mark.parametrize('generation', [1, 2], ids=['v1', 'v2'])
def test_features_equal_those_of_the_cpu_runtime(rig, start, photo, on_cpu, generation, zero_copy):
    process = start(generation, **{'npu.zero_copy': zero_copy})
    keypoints, descriptors = features(rig, photo)
    cpu_keypoints, cpu_descriptors = on_cpu
    assert len(keypoints.x) > 100
    assert keypoints.x == cpu_keypoints.x
    assert keypoints.y == cpu_keypoints.y
    assert keypoints.score == cpu_keypoints.score
    assert descriptors.keypoints.x == keypoints.x
    assert descriptors.data == cpu_descriptors.data
    assert descriptors.model.startswith('superpoint@')
    assert rig.graph.interrupt(process)[0] == 0
    assert 'violations: none' in process.log.read_text()


def test_npu_errors_drop_images_until_the_model_is_reopened(rig, start, photo):
    process = start(2, 'fail:rknn_run:-2:9')
    # The check of the network fails, then images of the warm-up.
    _, keypoints = rig.send_and_wait(photo)
    assert len(keypoints.x) > 100
    log = process.log.read_text()
    assert 'RKNN_ERR_TIMEOUT (-2)' in log
    assert 'the runtime was closed and reopened after failed inferences' in log
    assert int(rig.raw_counts()['failed']) == 8
    assert rig.graph.interrupt(process)[0] == 0
    assert 'violations: none' in process.log.read_text()


def send_until_reported(rig, photo):
    """Publish images until /diagnostics reports that an inference does not return."""

    def reported():
        rig.send(photo)
        rig.graph.spin(lambda: False, 0.2)
        return any('has not returned for' in d.status[0].message for d in rig.diagnostics)

    rig.graph.wait(reported, 'the report of a blocked inference')
    status = next(d.status[0] for d in rig.diagnostics if 'has not' in d.status[0].message)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message.startswith('the inference has not returned for ')


def test_a_blocked_npu_call_is_reported_and_abandoned(rig, start, photo):
    process = start(1, 'hang:12', **{'npu.timeout': 5.0})
    send_until_reported(rig, photo)
    code, seconds = rig.graph.interrupt(process)
    assert code == 0
    assert seconds < 4.0  # the node waits 1 s for the call to return
    assert 'Traceback' not in process.log.read_text()


def test_a_process_whose_npu_call_does_not_return_exits(rig, start, photo):
    process = start(2, 'hang:12', **{'npu.timeout': 1.0})
    send_until_reported(rig, photo)

    def exited():  # on a slow machine an earlier inference may have been reported
        rig.send(photo)
        return rig.graph.spin(lambda: process.poll() is not None, 0.1)

    rig.graph.wait(exited, 'the exit')
    assert process.returncode == 75
    assert rig.counts()['failed'] > 0
    log = process.log.read_text()
    assert 'a call into the NPU does not return: the process exits with 75' in log
    assert 'Traceback' not in log
    final = rig.counts()
    assert final['pending'] == 0
    assert final['received'] == final['published'] + final['dropped'] + final['failed']


def test_a_model_for_another_chip_leaves_the_node_unconfigured(graph, standin_libraries, model):
    library = standin_libraries[2]
    program = map(str, arguments(library, 2, 'fail:rknn_init:-13:1'))
    process = graph.start(*program, env=library_path(library), model=model)
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the error')
    assert 'RKNN_ERR_TARGET_PLATFORM_UNMATCH (-13)' in process.log.read_text()
    assert 'made for another chip' in process.log.read_text()
    assert graph.interrupt(process)[0] == 0
