"""Start of the superpoint node while something it needs is missing, slow or wrong."""

import contextlib
import shutil
import threading
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.srv import GetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from superpoint.test_standin_node import arguments, library_path
from superpoint.test_superpoint_lifecycle import change_state, set_parameter, state

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.nodes.common import bring_up, managed_node
from superpoint_rknn.nodes.common.bring_up import MIN_PAUSE, BringUp
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.runtime import RuntimeNotReadyError


@pytest.fixture
def start(rig, standin_libraries, model):
    """Start the node on a stand-in with faults, without waiting for it."""

    def start(*faults, **parameters):
        library = standin_libraries[2]
        program = map(str, arguments(library, 2, *faults))
        parameters = {'model': model} | parameters
        return rig.graph.start(*program, env=library_path(library), **parameters)

    return start


def states(rig):
    """(level, message) of the node itself in each /diagnostics so far."""
    return [
        (status.level, status.message)
        for message in rig.diagnostics
        for status in message.status
        if status.name == '/superpoint: state'
    ]


def wait_for_state(rig, text):
    rig.graph.wait(lambda: any(text in message for _, message in states(rig)), f'state {text!r}')
    return [each for each in states(rig) if text in each[1]]


def test_an_npu_that_is_not_ready_is_tried_again(rig, start, photo):
    process = start('fail:rknn_init:-3:3')
    waiting = wait_for_state(rig, 'waiting: ')
    assert {level for level, _ in waiting} == {DiagnosticStatus.ERROR}
    assert all('RKNN_ERR_DEVICE_UNAVAILABLE (-3)' in message for _, message in waiting)
    assert all('; next attempt in ' in message for _, message in waiting)
    rig.wait_ready()
    _, keypoints = rig.send_and_wait(photo)
    assert len(keypoints.x) > 100
    rig.graph.wait(lambda: states(rig)[-1] == (DiagnosticStatus.OK, 'active'), 'state active')
    log = process.log.read_text()
    assert log.count('RKNN_ERR_DEVICE_UNAVAILABLE') == 1
    assert log.count('trying again, after pauses of 1 to 30 s') == 1
    assert rig.graph.interrupt(process)[0] == 0


@pytest.mark.parametrize('missing', ['model', 'mask'])
def test_a_file_that_is_missing_at_start_is_waited_for(rig, photo, tmp_path, missing):
    model = default_model(None)
    late = {'model': tmp_path / 'late.onnx', 'mask': tmp_path / 'late.png'}[missing]
    process = rig.graph.start(**{missing: str(late)})
    wait_for_state(rig, f'{late}: ')
    assert f'not configured: {"mask: " * (missing == "mask")}{late}: ' in process.log.read_text()
    if missing == 'model':
        shutil.copy(model.with_suffix('.json'), late.with_suffix('.json'))
        shutil.copy(model, late)
    else:
        cv2.imwrite(str(late), np.full(photo.shape, 255, np.uint8))
    rig.wait_ready()
    rig.send_and_wait(photo)
    assert process.log.read_text().count('not configured') == 1


def test_a_library_that_is_missing_is_waited_for(rig, standin_libraries, model, tmp_path, photo):
    """Without a stand-in in LD_LIBRARY_PATH there is no library."""
    process = rig.graph.start(model=model, env=library_path(tmp_path / 'librknnrt.so'))
    wait_for_state(rig, 'waiting: no usable RKNN library')
    assert state(rig.graph) == State.PRIMARY_STATE_UNCONFIGURED
    assert rig.graph.interrupt(process)[0] == 0


def test_a_wrong_model_is_tried_again_only_when_a_parameter_is_set(rig, start, model, tmp_path):
    process = start('fail:rknn_init:-13:2')
    wait_for_state(rig, 'not configured: ')
    rig.diagnostics.clear()
    rig.graph.spin(lambda: False, 3 * MIN_PAUSE)
    errors = states(rig)
    assert len(errors) >= 2
    assert {level for level, _ in errors} == {DiagnosticStatus.ERROR}
    assert all('RKNN_ERR_TARGET_PLATFORM_UNMATCH (-13)' in message for _, message in errors)
    assert set_parameter(rig, 'descriptors.rate', double_value=3.0).successful  # -13 again
    rig.graph.spin(lambda: False, 2 * MIN_PAUSE)
    assert state(rig.graph) == State.PRIMARY_STATE_UNCONFIGURED
    right = tmp_path / 'right.rknn'
    shutil.copy(model, right)
    assert set_parameter(rig, 'model', string_value=str(right)).successful
    rig.wait_ready()
    assert rig.raw_counts()['model'].startswith('right@')
    assert process.log.read_text().count('TARGET_PLATFORM_UNMATCH') == 1


def test_a_wrong_value_is_put_right_live(rig):
    process = rig.graph.start(**{'resize': 'squeeze'})
    wait_for_state(rig, "not configured: resize: 'squeeze', expected one of")
    assert set_parameter(rig, 'resize', string_value='crop').successful
    rig.wait_ready()
    assert process.log.read_text().count('not configured') == 1


def test_a_lifecycle_manager_gets_a_failure_once(rig, tmp_path):
    process = rig.graph.start(autostart='false', model=str(tmp_path / 'missing.onnx'))
    for number in (1, 2):
        assert not change_state(rig.graph, Transition.TRANSITION_CONFIGURE)
        assert process.log.read_text().count('not configured: ') == number
    rig.diagnostics.clear()
    rig.graph.spin(lambda: False, 2 * MIN_PAUSE)
    assert rig.diagnostics == []
    assert 'trying again' not in process.log.read_text()


class Loading:
    """A superpoint node in this process whose runtime opens when the test says so."""

    def __init__(self, graph):
        self.graph = graph
        self.outcomes = []  # errors to raise, or None to open the CPU runtime
        self.may_open = threading.Event()
        self.attempts = []  # times
        self.node = self._node()
        self.bring_up = BringUp([self.node])
        graph.executor.add_node(self.node)

    def _node(self):
        loading = self

        class Node(SuperPointNode):
            def _open_runtime(self):
                loading.attempts.append(time.monotonic())
                loading.may_open.wait()
                error = loading.outcomes.pop(0) if loading.outcomes else None
                if error is not None:
                    raise error
                return super()._open_runtime()

        return Node(context=self.graph.context)

    def step_until(self, condition, timeout=20.0):
        """Bring the node up and run callbacks until `condition()`; True if it came."""
        end = time.monotonic() + timeout
        while not condition() and time.monotonic() < end:
            if not self.bring_up.done:
                self.bring_up.step()
            self.graph.executor.spin_once(timeout_sec=0.0)
        return condition()

    def close(self):
        self.may_open.set()
        self.node.shut_down()
        self.graph.executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def loading(graph):
    with contextlib.closing(Loading(graph)) as loading:
        yield loading


def test_a_slow_load_blocks_no_callback_and_is_reported(loading, monkeypatch, capfd):
    monkeypatch.setattr(managed_node, 'LOADING_PERIOD', 0.5)
    diagnostics = loading.graph.collect(DiagnosticArray, '/diagnostics')
    client = loading.graph.node.create_client(GetParameters, 'superpoint/get_parameters')
    assert loading.step_until(client.service_is_ready)
    answers = []
    for name in ('model', 'resize', 'runtime'):
        future = client.call_async(GetParameters.Request(names=[name]))
        assert loading.step_until(future.done)
        answers.append(future.result().values[0].string_value)
    assert answers == ['', 'stretch', 'auto']
    loading.step_until(lambda: len(diagnostics) >= 3)
    assert [s.message.rpartition(' for')[0] for m in diagnostics for s in m.status] == [
        'the model has been loading'
    ] * len(diagnostics)
    assert {s.level for m in diagnostics for s in m.status} == {DiagnosticStatus.WARN}
    assert not loading.bring_up.done
    assert 2 <= capfd.readouterr().err.count('the model has been loading for') <= 10
    loading.may_open.set()
    assert loading.step_until(lambda: loading.bring_up.done)
    assert loading.node.running


def test_a_configure_of_a_lifecycle_manager_ends(loading, monkeypatch):
    """It waits in the executor: nothing else could end it."""
    monkeypatch.setattr(managed_node, 'LOADING_TIMEOUT', 0.3)
    for reason in ('the model was not loaded within 0.3 s', 'the last inference call has not'):
        assert loading.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert str(loading.node.refusal).startswith(reason)
        assert isinstance(loading.node.refusal, NotReadyError)
    loading.may_open.set()
    loading.graph.wait(lambda: not loading.node.is_blocked, 'the end of the abandoned call')
    monkeypatch.undo()
    assert loading.node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_pauses_grow_up_to_their_maximum(loading, monkeypatch):
    monkeypatch.setattr(bring_up, 'MIN_PAUSE', 0.1)
    monkeypatch.setattr(bring_up, 'MAX_PAUSE', 0.4)
    loading.bring_up = BringUp([loading.node])
    loading.outcomes = [RuntimeNotReadyError('busy')] * 5
    loading.may_open.set()
    assert loading.step_until(lambda: loading.bring_up.done)
    pauses = np.diff(loading.attempts)
    assert len(pauses) == 5
    assert (pauses > [0.1, 0.2, 0.4, 0.4, 0.4]).all()
    assert pauses[-1] < 0.8


def test_different_reasons_are_logged_once_each(loading, monkeypatch, capfd):
    monkeypatch.setattr(bring_up, 'MIN_PAUSE', 0.01)
    monkeypatch.setattr(bring_up, 'MAX_PAUSE', 0.01)
    loading.bring_up = BringUp([loading.node])
    loading.outcomes = [RuntimeNotReadyError(text) for text in 3 * ('busy', 'gone')]
    loading.may_open.set()
    assert loading.step_until(lambda: loading.bring_up.done)
    log = capfd.readouterr().err
    assert [log.count(text) for text in ('busy', 'gone', 'trying again')] == [1, 1, 1]
