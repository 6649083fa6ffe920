"""Every target of the fuzzer reads its seeds with no other errors than the documented ones."""

import pytest
from seeds import SEEDS
from targets import TARGETS


def test_every_target_has_seeds():
    assert SEEDS.keys() == TARGETS.keys()
    assert all(SEEDS[name]() for name in TARGETS)


@pytest.mark.parametrize('name', TARGETS)
def test_a_target_reads_its_seeds_and_damaged_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = 0
    for data in SEEDS[name]():
        half = len(data) // 2
        damaged = data[:half] + bytes([data[half] ^ 0xFF]) + data[half + 1 :] if data else b''
        for content in (data, damaged, data[:half], b''):
            TARGETS[name].run(content)
        try:
            TARGETS[name].read(data)
            read += 1
        except TARGETS[name].documented:
            pass
    assert read, 'no seed is valid'
