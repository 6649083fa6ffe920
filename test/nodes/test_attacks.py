"""Attacks on both nodes in a real graph: they go on, count all images, report what is wrong."""

import random
import signal
import time
from array import array

import numpy as np
import pytest
from attack import IMAGE, Attack, stamp_of
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from ros_graph import image_message
from superpoint.test_standin_node import arguments, library_path
from tracker_rig import TRACKER

from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER_PARAMETERS

pytestmark = pytest.mark.slow

SIZES = ((400, 640), (37, 53), (1080, 1920), (1, 1))
HUGE = 2**32 - 1


@pytest.fixture
def start(graph, standin_libraries, model):
    """Start both nodes, superpoint with a faulty library and parameters."""

    def start(fault='constant', **parameters):
        library = standin_libraries[2]
        program = map(str, arguments(library, 2, fault))
        environment = library_path(library)
        superpoint = graph.start(*program, env=environment, model=model, **parameters)
        return Attack(graph, superpoint=superpoint, tracker=graph.start(*TRACKER))

    return start


@pytest.mark.parametrize('name', ['superpoint', 'tracker'])
def test_a_process_that_is_stopped_goes_on_with_the_newest_images(start, name):
    attack = start()
    results = attack.keypoints if name == 'superpoint' else attack.tracks
    attack.nodes[name].send_signal(signal.SIGSTOP)
    attack.play(0.5)  # what was on its way
    results.clear()
    attack.play(10)
    assert results == []
    continued = divmod(time.time_ns(), 10**9)
    attack.nodes[name].send_signal(signal.SIGCONT)
    attack.recover()
    old = [message for message in results if stamp_of(message) < continued]
    assert len(old) <= (1 if name == 'superpoint' else 5)  # the depths of their queues
    attack.graph.wait(lambda: 'no callback ran for 1' in attack.logs()[name], 'the warning')
    assert 'does not return' not in attack.logs()[name]


STAMPS = {
    'back and forth by an hour': lambda n: (time.time_ns() // 10**9 - 3600 * (n % 2), n),
    'zero': lambda n: (0, 0),
    'negative': lambda n: (-(2**31) + n // 30, n % 30 * 33_333_333),
    'too many nanoseconds': lambda n: (1000 + n, 4_000_000_000),
    'random': lambda n: (random.randrange(-(2**31), 2**31), random.randrange(2**32)),
}


@pytest.mark.parametrize('case', STAMPS)
def test_odd_stamps(start, case):
    attack = start()
    attack.play(3, stamp=STAMPS[case])
    expected = 'images failed' if case == 'zero' else 'irregular images: '
    assert attack.has_reported(expected) or case == 'too many nanoseconds'
    attack.recover()
    attack.logs()


def resized(number):
    height, width = SIZES[number % len(SIZES)]
    return image_message(np.resize(IMAGE, (height, width)))


def recoded(number):
    message = image_message(IMAGE)
    encodings = ('mono8', 'bgr8', 'mono16', 'nv12', 'bayer_rggb8', 'unknown', '')
    message.encoding = encodings[number % len(encodings)]
    message.header.frame_id = f'camera {number}'
    return message


@pytest.mark.parametrize(
    ('message', 'report'),
    [(resized, 'irregular images: '), (recoded, 'images failed')],
    ids=['size', 'encoding and frame_id'],
)
def test_a_camera_that_switches_with_each_image(start, message, report):
    attack = start()
    attack.play(3, message)
    assert attack.has_reported(report)
    attack.recover()
    attack.logs()


INVALID = [
    {'height': 0, 'width': 0, 'step': 0, 'data': array('B')},
    {'data': array('B')},
    {'step': 0},
    {'step': HUGE},
    {'height': HUGE},
    {'width': HUGE, 'step': HUGE},
    {'height': HUGE, 'width': HUGE, 'step': HUGE},
    {'height': 1, 'width': 2**31, 'step': 2**31},
    {'encoding': 'nv12', 'width': 639},
    {'encoding': 'x' * 100_000},
    {'encoding': '\x1b[31mred\x07\n\t'},
    {'encoding': 'bayer_rggb8', 'height': 1, 'width': 1, 'step': 1},
]


def test_images_whose_fields_disagree(start):
    attack = start()
    for fields in INVALID:
        message = image_message(IMAGE)
        for name, value in fields.items():
            setattr(message, name, value)
        attack.play(0.5, lambda number, message=message: message)
    assert attack.has_reported('images failed')
    attack.recover()
    for text in attack.logs().values():
        assert '\x1b[31m' not in text
        assert max(map(len, text.splitlines())) < 2500


def test_damaged_messages(start):
    attack = start()
    message = image_message(IMAGE)
    message.header.frame_id = 'FRAME_ID'
    message.header.stamp.sec = 7
    whole = bytes(serialize_message(message))
    length = IMAGE.size.to_bytes(4, 'little')
    damaged = [
        *(whole[:end] for end in (0, 3, 4, 15, 60, 1000)),
        *(whole.replace(length, lie.to_bytes(4, 'little')) for lie in (HUGE, 2**31 - 1, 1, 0)),
        whole.replace(b'FRAME_ID', b'\xff\xfe\x1b[31m\x80'),
        whole.replace(b'mono8', b'\xff\xfe\x80\x81\x1b'),
    ]
    for data in damaged:
        attack.camera.publish(data)
        attack.graph.spin(lambda: False, 0.2)
    attack.recover()
    attack.logs()


HOSTILE = [0, -5, 0.5, float('nan'), True, 'off', '/dev/zero', [1, 2], ['a'], [0.1] * 10, 2**62]
LARGE = ['x' * 1_000_000, '\x1b[31m' * 100_000, [0.1] * 100_000, ['y' * 100] * 10_000]


@pytest.mark.parametrize(('values', 'seconds'), [(HOSTILE, 10), (LARGE, 5)], ids=['many', 'large'])
def test_a_flood_of_parameters(start, values, seconds):
    attack = start()
    targets = (('superpoint', SUPERPOINT), ('tracker', TRACKER_PARAMETERS))
    clients = [
        (attack.graph.node.create_client(SetParameters, f'{name}/set_parameters'), table)
        for name, table in targets
    ]
    for client, _ in clients:
        attack.graph.wait(client.service_is_ready, client.srv_name)
    choose, futures, end = random.Random(0), [], time.monotonic() + seconds
    while time.monotonic() < end:
        for client, table in clients * (20 if values is HOSTILE else 1):
            name = choose.choice(table).name
            parameter = Parameter(name, value=choose.choice(values)).to_parameter_msg()
            futures.append(client.call_async(SetParameters.Request(parameters=[parameter])))
        attack.send()
    for name, _ in targets:  # requests beyond the queue of 10 of a service have no answer
        request = SetParameters.Request()
        attack.graph.call(SetParameters, f'{name}/set_parameters', request)
    results = [result for f in futures if f.done() for result in f.result().results]
    assert all(len(result.reason) < 500 for result in results)
    attack.recover()
    assert all(len(status.message) < 500 for status in attack.statuses())
    for text in attack.logs().values():
        assert max(map(len, text.splitlines())) < 2500


def test_transitions_of_two_clients_while_an_inference_hangs(start):
    attack = start('hang:8', **{'npu.timeout': 60.0})
    graph = attack.graph

    def answers():
        before = len(attack.keypoints)
        return graph.spin(lambda: attack.send() and len(attack.keypoints) > before, 5)

    while answers():
        pass
    clients = [graph.node.create_client(ChangeState, 'superpoint/change_state') for _ in range(2)]
    choose, futures = random.Random(0), []
    for _ in range(60):
        attack.send()
        for client in clients:
            request = ChangeState.Request()
            request.transition.id = choose.choice(
                [
                    Transition.TRANSITION_CONFIGURE,
                    Transition.TRANSITION_ACTIVATE,
                    Transition.TRANSITION_DEACTIVATE,
                    Transition.TRANSITION_CLEANUP,
                ]
            )
            futures.append(client.call_async(request))
        graph.call(GetState, 'superpoint/get_state', GetState.Request(), timeout=10)
    graph.wait(lambda: all(future.done() for future in futures), 'the answers', 60)
    assert any(future.result().success for future in futures)
    assert graph.interrupt(attack.nodes['superpoint'])[0] == 0
    attack.logs()
