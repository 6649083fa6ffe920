"""The page of the viewer in headless Chromium; needs Debian's chromium, and ./dev view before."""

import os
import threading
import time

import chromium
import cv2
import numpy as np
import pytest

from superpoint_rknn.view import records, viewer

CAMERA = '/cameras/cam0'
SIZE = (320, 240)  # [px] width, height of the images
MAGENTA, CYAN = (255, 0, 255), (255, 255, 0)  # BGR, colours that rerun does not use
TIMEOUT = 180.0  # [s] on a busy machine
IDLE_TIMEOUT = 30.0  # [s] on a machine that does nothing else


@pytest.fixture
def running():
    """A viewer."""
    try:
        interpreter = viewer.find_interpreter()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if chromium.PROGRAM is None:
        pytest.skip('chromium is not installed')
    for port in range(20000, 60000, 2):
        try:
            viewer.check_ports(port)
        except OSError:
            continue
        with viewer.Viewer(interpreter, port) as started:
            yield started
        return


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
