import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from gate import Gate
from ros_graph import Graph, Rig


@pytest.fixture(scope='session')
def launch_system():
    """Skip unless launch and launch_ros are there, and all that they import."""
    skip_unless_it_runs(sys.executable, '-c', 'import launch, launch_ros.actions')


@pytest.fixture(scope='session')
def ros2_launch(launch_system):
    """The same for the command `ros2 launch`."""
    skip_unless_it_runs('ros2', 'launch', '--help')


def skip_unless_it_runs(program, *arguments):
    """Try in a process of its own, since launch's import changes Python's logging."""
    if shutil.which(program) is None:
        pytest.skip(f'needs the command {program}, which is not among the wheels')
    result = subprocess.run([program, *arguments], capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().rpartition('\n')[2]
        pytest.skip(f'`{" ".join([program, *arguments])}` fails: {reason}')


def motorcycle(photographs, side):
    """Grey photograph of 400x640, of one side of a stereo pair."""
    image = cv2.imread(str(photographs / f'motorcycle_{side}.png'), cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(image[50:450, 50:690])


@pytest.fixture(scope='session')
def photo(photographs):
    """Grey photograph of 400x640."""
    return motorcycle(photographs, 'left')


@pytest.fixture(scope='session')
def right_photo(photographs):
    """What a camera to the right of the one of `photo` sees at the same time."""
    return motorcycle(photographs, 'right')


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path)
    yield graph
    graph.close()


@pytest.fixture
def rig(graph):
    return Rig(graph)


@pytest.fixture
def gate(tmp_path):
    gate = Gate(tmp_path / 'gate')
    yield gate
    gate.open()
