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
    """Skip if launch or launch_ros cannot be imported."""
    skip_if_it_fails(sys.executable, '-c', 'import launch, launch_ros.actions')


@pytest.fixture(scope='session')
def ros2_launch(launch_system):
    """Skip if the command `ros2 launch` does not run."""
    skip_if_it_fails('ros2', 'launch', '--help')


def skip_if_it_fails(program, *arguments):
    """Skip if a command fails; a process, since importing launch changes Python's logging."""
    if shutil.which(program) is None:
        pytest.skip(f'needs the command {program}, which no wheel contains')
    result = subprocess.run([program, *arguments], capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().rpartition('\n')[2]
        pytest.skip(f'`{" ".join([program, *arguments])}` fails: {reason}')


def motorcycle(photographs, side):
    """One side of a stereo pair: a grey photograph, (400, 640) uint8."""
    image = cv2.imread(str(photographs / f'motorcycle_{side}.png'), cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(image[50:450, 50:690])


@pytest.fixture(scope='session')
def photo(photographs):
    """Grey photograph, (400, 640) uint8."""
    return motorcycle(photographs, 'left')


@pytest.fixture(scope='session')
def right_photo(photographs):
    """Image of the right camera of a stereo pair whose left image is `photo`."""
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
