"""The check of the network at the start of the superpoint node."""

import logging

import numpy as np
from fake_runtime import FakeRuntime

from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.network_check import NetworkCheck, warnings_to
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.superpoint.worker import Worker
from superpoint_rknn.runtimes.outputs import built_in_image


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, **_):
        self.lines.append(text)


def test_the_check_runs_once_before_all_images():
    runtime, log, mailbox = FakeRuntime(), Log(), Mailbox()
    mailbox.put(NetworkCheck(log), None)
    worker = Worker(lambda: runtime, mailbox, log, lambda: 5.0)
    worker.start()
    while not log.lines:
        assert worker.is_alive()
    assert worker.stop(10)
    np.testing.assert_array_equal(runtime.images, [built_in_image(*runtime.input.shape[2:])])
    assert 'fake@12345678: implausible outputs on the built-in image' in log.lines[0]


def test_warnings_of_a_runtime_reach_the_log_of_the_node():
    log, module = Log(), logging.getLogger('superpoint_rknn.runtimes.outputs')
    with warnings_to(log):
        module.warning('chosen')
        module.info('not a warning')
    module.warning('after')
    assert log.lines == ['chosen']


def test_the_node_checks_its_network(graph):
    runtime = FakeRuntime()

    class Node(SuperPointNode):
        def _open_runtime(self):
            return runtime

    node = Node(context=graph.context)
    try:
        node.trigger_configure()
        assert not runtime.images
        node.trigger_activate()
        graph.wait(lambda: runtime.images, 'the check')
        node.trigger_deactivate()
        node.trigger_activate()
        graph.spin(lambda: len(runtime.images) > 1, 0.5)  # it is not checked again
        np.testing.assert_array_equal(runtime.images, [built_in_image(*runtime.input.shape[2:])])
    finally:
        node.shut_down()
        node.destroy_node()
