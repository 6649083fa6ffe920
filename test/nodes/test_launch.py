"""superpoint.launch.py with `ros2 launch`, on machines that have it."""

import os
import re
import signal

import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters

pytestmark = pytest.mark.usefixtures('ros2_launch')


def is_active(graph, name):
    response = graph.call(GetState, f'{name}/get_state', GetState.Request())
    return response.current_state.id == State.PRIMARY_STATE_ACTIVE


def test_launch_starts_the_node_in_its_namespace_and_ctrl_c_stops_it(graph, tmp_path):
    parameters = tmp_path / 'parameters.yaml'
    parameters.write_text('/**: {ros__parameters: {runtime: onnx, detector: {max_keypoints: 33}}}')
    process = graph.start_program(
        *('ros2', 'launch', 'superpoint_rknn', 'superpoint.launch.py'),
        *('camera:=cam7', f'params_file:={parameters}'),
    )

    graph.wait(lambda: is_active(graph, 'cam7/superpoint'), 'the node to be active')
    graph.wait(lambda: graph.node.count_subscribers('cam7/image') == 1, 'a subscription')
    graph.wait(lambda: graph.node.count_publishers('cam7/keypoints') == 1, 'a publisher')
    request = GetParameters.Request(names=['detector.max_keypoints', 'runtime'])
    response = graph.call(GetParameters, 'cam7/superpoint/get_parameters', request)
    assert response.values[0].integer_value == 33
    assert response.values[1].string_value == 'onnx'
    code, _ = graph.interrupt(process)
    assert code == 0
    assert 'process has finished cleanly' in process.log.read_text()


def test_arguments_reach_the_node_and_respawn_restarts_it(graph):
    process = graph.start_program(
        *('ros2', 'launch', 'superpoint_rknn', 'superpoint.launch.py', 'namespace:=robot'),
        *('cameras:=cam0,cam1', 'image:=image_raw', 'runtime:=onnx', 'model:=superpoint_small'),
        *('use_sim_time:=True', 'log_level:=warn', 'respawn:=true'),
    )
    graph.wait(lambda: is_active(graph, 'robot/superpoint'), 'the node to be active')
    for camera in ('cam0', 'cam1'):
        topic = f'robot/{camera}/image_raw'
        graph.wait(lambda t=topic: graph.node.count_subscribers(t) == 1, f'a subscription {topic}')
    request = GetParameters.Request(names=['cameras', 'use_sim_time', 'model'])
    values = graph.call(GetParameters, 'robot/superpoint/get_parameters', request).values
    assert list(values[0].string_array_value) == ['cam0', 'cam1']
    assert (values[1].bool_value, values[2].string_value) == (True, 'superpoint_small')
    started = re.compile(r'process started with pid \[(\d+)\]')
    (pid,) = started.findall(process.log.read_text())
    os.kill(int(pid), signal.SIGKILL)
    graph.wait(lambda: len(started.findall(process.log.read_text())) == 2, 'a restart')
    assert '[robot.superpoint]: active: ' not in process.log.read_text()  # it is INFO


@pytest.mark.parametrize(
    ('argument', 'reason'),
    [
        ('params_file:=none.yaml', 'params_file:=none.yaml: no such file: /'),
        ('composed:=maybe', 'Argument "composed" provided value "maybe" is not valid'),
        ('runtime:=tpu', 'Argument "runtime" provided value "tpu" is not valid'),
    ],
)
@pytest.mark.parametrize('file', ['superpoint.launch.py', 'vio.launch.py'])
def test_a_wrong_value_ends_the_launch_with_the_reason(graph, file, argument, reason):
    process = graph.start_program('ros2', 'launch', 'superpoint_rknn', file, argument)
    assert process.wait(60) == 1
    assert reason in process.log.read_text()
    assert 'process started' not in process.log.read_text()
