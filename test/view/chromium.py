"""Headless Chromium with WebGL in software, driven by the DevTools protocol over pipes."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile

import cv2
import numpy as np

PROGRAM = shutil.which('chromium') or shutil.which('chromium-browser')
COMMANDS, ANSWERS = 3, 4  # file descriptors of --remote-debugging-pipe
WEBGL = ('--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader')


class Chromium:
    """Context manager of a browser that shows one page."""

    def __init__(self, width, height):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command_pipe, answer_pipe = os.pipe(), os.pipe()
        theirs = [_moved(command_pipe[0]), _moved(answer_pipe[1])]
        self._commands, self._answers = _moved(command_pipe[1]), _moved(answer_pipe[0])
        self._received = b''
        self._count = 0
        redirect = f'exec "$@" {COMMANDS}<&{theirs[0]} {ANSWERS}>&{theirs[1]}'
        command = [PROGRAM, '--headless=new', '--no-sandbox', '--remote-debugging-pipe', *WEBGL]
        command += [f'--user-data-dir={self._profile.name}', 'about:blank']
        self._process = subprocess.Popen(
            ['bash', '-c', redirect, 'bash', *command],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for handle in theirs:
            os.close(handle)
        self._size = {'width': width, 'height': height}
        self._session = None

    def open(self, address):
        target = self._call('Target.createTarget', url=address)['targetId']
        attached = self._call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']
        size = {**self._size, 'deviceScaleFactor': 1, 'mobile': False}
        self._call('Emulation.setDeviceMetricsOverride', self._session, **size)

    def screenshot(self):
        """What the page shows, (height, width, 3) uint8 BGR."""
        data = self._call('Page.captureScreenshot', self._session, format='png')['data']
        return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError, EOFError):
            self._call('Browser.close')
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            os.close(self._commands)
            os.close(self._answers)
            self._profile.cleanup()

    def _call(self, method, session=None, **parameters):
        """Call a method of the protocol; return its result."""
        self._count += 1
        call = {'id': self._count, 'method': method, 'params': parameters}
        if session:
            call['sessionId'] = session
        os.write(self._commands, json.dumps(call).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == self._count:
                assert 'error' not in answer, answer
                return answer['result']

    def _receive(self):
        while b'\0' not in self._received:
            if not (data := os.read(self._answers, 1 << 20)):
                raise EOFError('Chromium has ended')
            self._received += data
        message, _, self._received = self._received.partition(b'\0')
        return json.loads(message)


def _moved(handle):
    """Move a file descriptor out of the way of those that Chromium uses."""
    moved = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(handle)
    return moved
