import time
from pathlib import Path

import pytest


def alive(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0]
    except FileNotFoundError:
        return False
    return state != 'Z'


@pytest.fixture
def all_gone():
    """Whether processes, named by their ids, end within half a minute."""

    def wait(pids):
        end = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        return not any(map(alive, pids))

    return wait
