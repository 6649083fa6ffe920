import threading

import pytest

pytest.importorskip('tqdm')
from superpoint_rknn.progress import tqdm


def test_a_bar_starts_no_thread():
    """At the end of an interrupted process tqdm would wait for it, perhaps for ever."""
    before = threading.active_count()
    with tqdm(total=1, leave=False):
        assert threading.active_count() == before
