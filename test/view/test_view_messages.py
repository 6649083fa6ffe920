"""What messages of cameras, diagnostics and odometry become."""

import numpy as np
import pytest

pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.view import camera as camera_module
from superpoint_rknn.view import diagnostics as diagnostics_module
from superpoint_rknn.view.camera import CameraView
from superpoint_rknn.view.diagnostics import DiagnosticsView, PathView, entity_of

PERIOD = 100_000_000  # [ns]
PARTS = {'image', 'lines', 'points'}  # of pictures


class Bench:
    """A camera view, its records, and a clock that the test sets."""

    def __init__(self, monkeypatch):
        self.sent = []
        self.now = 10 * PERIOD
        monkeypatch.setattr(camera_module.time, 'monotonic_ns', lambda: self.now)
        self.view = CameraView('cam0', lambda *records: self.sent.extend(records), lambda: 0)

    def shown(self):
        """The pictures that were sent since the last call, with the names of their parts."""
        pictures = [r for r in self.sent if r['kind'] == 'picture']
        self.sent.clear()
        return [
            ' '.join([r['entity'].removeprefix('/cameras/cam0/'), *sorted(PARTS & r.keys())])
            for r in pictures
        ]


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def plotted(sent):
    """Values of the newest records of plots, by entity and name."""
    return {
        r['entity']: dict(zip(r['names'].tolist(), r['values'].tolist(), strict=True))
        for r in sent
        if r['kind'] == 'scalars'
    }


def header(number):
    return Header(stamp=Time(sec=number))


def image(number):
    return Image(
        header=header(number), height=8, width=8, step=8, encoding='mono8', data=bytes(64)
    )


def keypoints(number, ids=()):
    count = len(ids) or 3
    values = [float(i) for i in range(count)]
    message = Keypoints(header=header(number), height=8, width=8, x=values, y=values)
    message.score = [0.5] * count
    message.id, message.age = list(ids), [1] * len(ids)
    return message


def descriptors(number, data, model='m'):
    count, dim = data.shape
    points = keypoints(number, range(count))
    values = data.ravel().astype(np.float32).tolist()
    return Descriptors(header=points.header, keypoints=points, dim=dim, data=values, model=model)


def test_an_image_is_shown_with_its_keypoints(bench):
    bench.view.on_keypoints(keypoints(0))
    bench.shown()
    bench.view.on_image(image(1))
    assert bench.shown() == []
    bench.now += 2 * PERIOD
    bench.view.on_keypoints(keypoints(1))
    assert bench.shown() == ['keypoints image points']


def test_tracks_are_shown_on_their_own_image(bench):
    bench.view.on_image(image(1))
    bench.view.on_image(image(2))
    bench.shown()
    bench.view.on_tracks(keypoints(2, [4]))
    assert bench.shown() == ['tracks image lines points']
    assert bench.view.pictures == {'keypoints', 'tracks'}


def test_the_rate_of_pictures_is_limited(bench):
    bench.view.on_keypoints(keypoints(0))
    bench.view.on_tracks(keypoints(0, [4]))
    bench.shown()
    for number in range(1, 21):
        bench.now += PERIOD // 4
        bench.view.on_image(image(number))
        bench.view.on_keypoints(keypoints(number))
        bench.view.on_tracks(keypoints(number, [4]))
    shown = bench.shown()
    assert sorted(shown) == 5 * ['keypoints image points'] + 5 * ['tracks image lines points']


def test_large_images_are_shown_less_often(bench, monkeypatch):
    size = ReceivedImage(image(0)).grey().size
    monkeypatch.setattr(camera_module, 'BYTES_PER_SECOND', 4 * size)
    bench.view.on_keypoints(keypoints(0))
    bench.view.on_image(image(0))
    bench.shown()
    for number in range(1, 21):  # of 2 s
        bench.now += PERIOD
        bench.view.on_image(image(number))
        bench.view.on_keypoints(keypoints(number))
    assert bench.shown() == 8 * ['keypoints image points']


def test_tails_have_the_positions_of_images_that_are_not_shown(bench):
    for number in range(3):
        message = keypoints(number, [4])
        message.x = [float(number)]
        bench.view.on_tracks(message)
        bench.now += 0 if number == 0 else PERIOD
    assert bench.sent[-1]['lines'][0, -3:, 0].tolist() == [0.5, 1.5, 2.5]


def test_images_are_shown_without_keypoints_if_there_are_none(bench):
    bench.view.on_image(image(1))
    assert bench.shown() == ['keypoints image']


def test_an_image_that_arrives_after_its_keypoints_is_shown(bench):
    bench.view.on_keypoints(keypoints(1))
    assert bench.shown() == ['keypoints points']
    bench.view.on_image(image(1))
    assert bench.shown() == ['keypoints image']


def test_the_kept_images_are_bounded(bench, monkeypatch):
    monkeypatch.setattr(camera_module, 'MAX_BYTES', 64 * 5)
    for number in range(20):
        bench.view.on_image(image(number))
        bench.view.on_image(image(number))  # the same stamp again
    assert [stamp // 10**9 for stamp in bench.view._images] == [15, 16, 17, 18, 19]
    monkeypatch.setattr(camera_module, 'MAX_IMAGES', 2)
    bench.view.on_image(image(20))
    assert len(bench.view._images) == 2


def test_matches_are_those_of_the_last_two_described_images(bench):
    rows = np.eye(3)
    bench.view.on_image(image(1))
    bench.view.on_image(image(2))
    bench.view.on_descriptors(descriptors(1, rows))
    bench.sent.clear()
    bench.view.on_descriptors(descriptors(2, rows[[2, 0, 1]]))
    (matches,) = bench.sent
    assert matches['entity'] == '/cameras/cam0/matches'
    ends = matches['lines']
    # Point i of the older image has the descriptor of point (i + 1) % 3 of the newer one.
    assert ends[:, 0, 1].tolist() == [0.5, 1.5, 2.5]
    assert ends[:, 1, 1].tolist() == [1.5, 2.5, 0.5]
    bench.sent.clear()
    bench.view.report()
    assert plotted(bench.sent)['/counts/cam0'] == {'matches': 3}


def test_descriptors_of_different_models_are_not_matched(bench):
    for number, model in ((1, 'a'), (2, 'b')):
        bench.view.on_image(image(number))
        bench.sent.clear()
        bench.view.on_descriptors(descriptors(number, np.eye(3), model))
    assert bench.sent == []


@pytest.mark.parametrize('field', ['id', 'age'])
def test_inconsistent_tracks_are_refused(bench, field):
    message = keypoints(1, [4, 5])
    setattr(message, field, [1])
    with pytest.raises(ValueError, match='id, age'):
        bench.view.on_tracks(message)
    with pytest.raises(ValueError, match='twice'):
        bench.view.on_tracks(keypoints(1, [4, 4]))


def test_the_report_has_rates_and_the_latency(bench, monkeypatch):
    monkeypatch.setattr(camera_module.time, 'monotonic', lambda: bench.view._since + 2)
    bench.view._now_ns = lambda: 1_030_000_000
    for _ in range(4):
        bench.view.on_keypoints(keypoints(1))
    bench.sent.clear()
    bench.view.report()
    assert plotted(bench.sent) == {
        '/rates/cam0': {'keypoints': 2.0},
        '/latency_ms/cam0': {'keypoints': pytest.approx(30.0)},
        '/counts/cam0': {'keypoints': 3},
    }
    bench.sent.clear()
    bench.view.report()
    assert plotted(bench.sent) == {
        '/rates/cam0': {'keypoints': 0.0},  # of a topic that fell silent
        '/latency_ms/cam0': {},
        '/counts/cam0': {},
    }


def status(**values):
    return DiagnosticStatus(
        level=DiagnosticStatus.OK,
        name='/cam0/tracker: camera',
        message='ok',
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def test_diagnostics_become_stage_times_and_rises_of_counters():
    sent = []
    view = DiagnosticsView(lambda *records: sent.extend(records))
    view.on_status(status(dropped='5', lost='unknown', run_ms='3.5'))
    assert sent[0]['text'] == 'cam0/tracker: ok'
    assert plotted(sent) == {
        '/stages_ms/cam0/tracker': {'run': 3.5},
        '/missing/cam0/tracker': {'dropped': 0},
    }
    sent.clear()
    view.on_status(status(dropped='9'))
    assert plotted(sent)['/missing/cam0/tracker'] == {'dropped': 4}
    view.on_status(status(dropped='2'))  # the node was started again
    assert plotted(sent)['/missing/cam0/tracker'] == {'dropped': 0}


def test_counters_that_are_always_0_have_no_line():
    sent = []
    view = DiagnosticsView(lambda *records: sent.extend(records))
    lines = []
    for failed in ('0', '1', '1', '0', '0'):  # the node was started again
        view.on_status(status(dropped='0', failed=failed))
        lines.append(plotted(sent)['/missing/cam0/tracker'])
    without, one, more = {'dropped': 0}, {'dropped': 0, 'failed': 1}, {'dropped': 0, 'failed': 0}
    assert lines == [without, one, more, more, without]


def test_names_of_statuses():
    assert entity_of('/cam0/tracker: camera') == 'cam0/tracker'
    assert entity_of('/superpoint: camera') == 'superpoint'
    assert entity_of('/superpoint: cam1') == 'cam1/superpoint'


def test_the_path_is_bounded(monkeypatch):
    now = 0
    monkeypatch.setattr(diagnostics_module.time, 'monotonic_ns', lambda: now)
    monkeypatch.setattr(diagnostics_module, 'PATH_LENGTH', 10)
    sent = []
    path = PathView('odometry', lambda *records: sent.extend(records))
    for number in range(100):
        now += PERIOD
        path.add(np.array([number, 0, 0]), np.array([0, 0, 0, 1]))
    lengths = [len(r['points']) for r in sent if r['kind'] == 'path']
    assert max(lengths) == 10
    assert sent[-2]['points'][-1].tolist() == [99, 0, 0]
