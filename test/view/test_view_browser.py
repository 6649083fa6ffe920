"""The page of the viewer in headless Chromium; needs Debian's chromium, and ./dev view before."""

import os
import sys
import threading
import time
from pathlib import Path

import chromium
import cv2
import numpy as np
import pytest

from superpoint_rknn.processes import ProcessGroup
from superpoint_rknn.view import records, viewer

DEMO = Path(__file__).parents[2] / 'demo'
CAMERA = '/cameras/cam0'
SIZE = (320, 240)  # [px] width, height of the images
MAGENTA, CYAN = (255, 0, 255), (255, 255, 0)  # BGR, colours that rerun does not use
FEW = 20  # keypoints
TIMEOUT = 180.0  # [s] on a busy machine
IDLE_TIMEOUT = 30.0  # [s] on a machine that does nothing else


@pytest.fixture
def port():
    """Return a free port for the page; skip the test if there is no viewer or no browser."""
    try:
        viewer.find_interpreter()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if chromium.PROGRAM is None:
        pytest.skip('chromium is not installed')
    for number in range(20000, 60000, 2):
        try:
            viewer.check_ports(number)
        except OSError:
            continue
        return number
    raise AssertionError('all ports are in use')


@pytest.fixture
def running(port):
    """A viewer."""
    with viewer.Viewer(viewer.find_interpreter(), port) as started:
        yield started


def send(running):
    """Send an image with 48 keypoints and 12 tracks of 10 positions."""
    now, image = time.time(), records.image(np.full(SIZE[::-1], 90, np.uint8))
    x, y = np.meshgrid(np.arange(20, 310, 40), np.arange(20, 230, 40))
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    steps = np.stack([np.arange(10) * 3.0, np.zeros(10)], axis=1)
    running.send(
        records.legend(),
        records.record(
            'layout',
            '',
            now,
            cameras=np.array([CAMERA]),
            sizes=np.array([SIZE]),
            pictures=np.array(['keypoints tracks']),
            has_path=False,
        ),
        records.picture(
            f'{CAMERA}/keypoints', now, image, records.points(points, np.full((48, 3), MAGENTA))
        ),
        records.picture(
            f'{CAMERA}/tracks',
            now,
            image,
            records.lines(points[::4, None] + steps, np.full((12, 3), CYAN)),
        ),
        records.scalars('/rates/cam0', now, {'keypoints': 10.0}),
    )


def spots(picture, colour):
    """Number of connected regions of a colour, which may be blended with grey at the edges."""
    pictures = picture[:, : 13 * picture.shape[1] // 20].astype(int)  # legend and plots are right
    mask = (np.abs(pictures - colour).max(axis=2) < 90).astype(np.uint8)
    return cv2.connectedComponents(mask)[0] - 1


@pytest.mark.slow
@pytest.mark.alone
def test_the_page_draws_keypoints_and_tracks(running, tmp_path):
    def keep_sending():
        while not done.wait(1.0):
            send(running)

    is_busy = os.getloadavg()[0] > 0.5 * os.cpu_count()
    done = threading.Event()
    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        with chromium.Chromium(1600, 1000) as browser:
            browser.open(running.address)
            end = time.monotonic() + (TIMEOUT if is_busy else IDLE_TIMEOUT)
            found = (0, 0)
            while found != (48, 12) and time.monotonic() < end:
                picture = browser.screenshot()
                found = spots(picture, MAGENTA), spots(picture, CYAN)
            cv2.imwrite(str(tmp_path / 'page.png'), picture)
    finally:
        done.set()
        sender.join()
    assert found == (48, 12), f'see {tmp_path}/page.png'
    running.check()
    assert running.dropped == 0


def coloured_spots(picture):
    """Number of connected coloured regions in the pictures of cameras: keypoints or groups."""
    height, width = picture.shape[:2]
    # Above are buttons, below the time, right the legend and plots.
    pictures = picture[height // 10 : 9 * height // 10, : 13 * width // 20].astype(int)
    mask = pictures.max(axis=2) - pictures.min(axis=2) > 120
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1


@pytest.mark.slow
@pytest.mark.alone
def test_a_parameter_that_is_set_is_seen(port, tmp_path, photograph):
    pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')
    pytest.importorskip('onnxruntime', reason='needs a runtime')
    images = tmp_path / 'images'
    images.mkdir()
    cv2.imwrite(str(images / 'photograph.png'), photograph)

    def wait_for(condition, name):
        end, is_seen = time.monotonic() + TIMEOUT, False
        while not is_seen and time.monotonic() < end:
            picture = browser.screenshot()
            is_seen = condition(count := coloured_spots(picture))
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
        assert is_seen, f'{count} spots: see {tmp_path}/{name}.png'

    def start(name, *command, **options):
        return graph.start(name, sys.executable, *command, **options)

    with ProcessGroup(tmp_path) as graph, chromium.Chromium(1200, 750) as browser:
        parameters = (
            'model:=superpoint_small',
            'descriptors.rate:=0.0',
            f'npu.timeout:={TIMEOUT}',
        )
        options = (word for parameter in parameters for word in ('-p', parameter))
        start('node', '-m', 'superpoint_rknn.nodes.superpoint.node', '--ros-args', *options)
        view = start('view', '-m', 'superpoint_rknn.cli', 'view', '--port', port, pipes=True)
        address = graph.read_line(view, TIMEOUT).removeprefix('open ')
        play = (images, '--rate', 0.5, '--subscribers', 2, '--wait', TIMEOUT)
        start('player', DEMO / 'player.py', *play)
        browser.open(address)
        wait_for(lambda count: count > 3 * FEW, 'before')
        setting = ('set', '/superpoint', 'detector.max_keypoints', FEW)
        graph.finish(start('param', DEMO / 'param.py', *setting), TIMEOUT)
        wait_for(lambda count: 0 < count <= FEW, 'after')
