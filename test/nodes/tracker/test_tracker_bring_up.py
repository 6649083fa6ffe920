"""Start of the tracker while its calibration file is missing or wrong."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

TRACKER = ('-m', 'superpoint_rknn.nodes.tracker.node')
CALIBRATION = """
image_width: 640
image_height: 400
camera_matrix: {rows: 3, cols: 3, data: [400, 0, 320, 0, 400, 200, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""


def state_of(graph, diagnostics, text):
    """Wait for a state of the node that contains a text; return its level."""

    def found():
        statuses = [s for m in diagnostics for s in m.status if s.name == '/tracker: state']
        return [s.level for s in statuses if text in s.message]

    graph.wait(found, f'the state {text!r}')
    return found()[0]


def test_a_calibration_file_that_is_missing_is_waited_for(graph, tmp_path):
    path = tmp_path / 'late.yaml'
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
    process = graph.start(*TRACKER, calibration=str(path))
    level = state_of(graph, diagnostics, f'waiting: calibration: {path}: No such file')
    assert level == DiagnosticStatus.ERROR
    path.write_text('image_width: wide')
    level = state_of(graph, diagnostics, f'not configured: calibration: {path}: no calibration')
    assert level == DiagnosticStatus.ERROR
    path.write_text(CALIBRATION)
    diagnostics.clear()
    graph.spin(lambda: False, 3.0)
    assert not [s for m in diagnostics for s in m.status if s.message == 'active']
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=7)
    request = SetParameters.Request(parameters=[Parameter(name='max_tracks', value=value)])
    assert graph.call(SetParameters, 'tracker/set_parameters', request).results[0].successful
    assert state_of(graph, diagnostics, 'active') == DiagnosticStatus.OK
    assert process.log.read_text().count('not configured') == 2
