"""superpoint.launch.py with `ros2 launch`, on machines that have it."""

import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters

pytestmark = pytest.mark.usefixtures('ros2_launch')


def test_launch_starts_the_node_in_its_namespace_and_ctrl_c_stops_it(graph, tmp_path):
    parameters = tmp_path / 'parameters.yaml'
    parameters.write_text('/**: {ros__parameters: {runtime: onnx, detector: {max_keypoints: 33}}}')
    process = graph.start_program(
        *('ros2', 'launch', 'superpoint_rknn', 'superpoint.launch.py'),
        *('camera:=cam7', f'params_file:={parameters}'),
    )

    def state():
        return graph.call(GetState, 'cam7/superpoint/get_state', GetState.Request()).current_state

    graph.wait(lambda: state().id == State.PRIMARY_STATE_ACTIVE, 'the node to be active')
    assert graph.node.count_subscribers('cam7/image') == 1
    assert graph.node.count_publishers('cam7/keypoints') == 1
    request = GetParameters.Request(names=['detector.max_keypoints', 'runtime'])
    response = graph.call(GetParameters, 'cam7/superpoint/get_parameters', request)
    assert response.values[0].integer_value == 33
    assert response.values[1].string_value == 'onnx'
    code, _ = graph.interrupt(process)
    assert code == 0
    assert 'process has finished cleanly' in process.log.read_text()
