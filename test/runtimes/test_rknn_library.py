"""Finding and loading the RKNN library."""

import ctypes
import ctypes.util
import os
import shutil

import pytest
from rknn_standin import build

from superpoint_rknn.runtimes.rknn import library as rknn_library
from superpoint_rknn.runtimes.rknn.library import (
    find_library,
    library_version,
    load_library,
    probe_libraries,
)
from superpoint_rknn.runtimes.runtime import RuntimeUnavailableError


def test_generation_is_detected_by_symbols(standin):
    library = load_library(standin.path)
    assert library.abi.generation == standin.generation
    assert library.path == str(standin.path)
    version = {1: '1.7.5', 2: '2.3.2'}[standin.generation]
    assert library_version(library.path) == version
    (probe,) = probe_libraries(standin.path)
    assert (probe.path, probe.generation) == (str(standin.path), standin.generation)
    assert (probe.version, probe.reason) == (version, None)


def test_folder_name_that_is_not_utf_8(standin, tmp_path):
    folder = tmp_path / os.fsdecode(b'caf\xe9')
    folder.mkdir()
    path = folder / standin.path.name
    shutil.copy(standin.path, path)
    try:
        outcome = load_library(path).path
    except RuntimeUnavailableError as error:
        outcome = str(error)
    # Some versions of Python fail to format the message that a function is missing.
    rejected = outcome.startswith(str(os.fsencode(path))) and outcome.endswith('move the library')
    assert outcome == str(path) or (standin.generation == 2 and rejected)


class WithoutDladdr(ctypes.CDLL):
    """A library, or the process itself, on a system without dladdr(3)."""

    def __getattr__(self, name):
        if name == 'dladdr':
            raise AttributeError(name)
        return super().__getattr__(name)


def test_path_without_dladdr(standin, monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', WithoutDladdr)
    assert load_library(standin.path).path == str(standin.path)


def test_error_names_a_missing_function(tmp_path):
    path = build(2, tmp_path, 'WITHOUT_CORE_MASK')
    with pytest.raises(RuntimeUnavailableError, match=r'rt\.so: too old .*rknn_set_core_mask'):
        load_library(path)


def test_other_files_raise(tmp_path):
    text = tmp_path / 'librknnrt.so'
    text.write_text('not an ELF file, though long enough to be read as one')
    with pytest.raises(RuntimeUnavailableError, match=r'librknnrt\.so'):
        find_library(text)
    with pytest.raises(RuntimeUnavailableError, match='No such file'):
        find_library(tmp_path / 'none.so')
    with pytest.raises(RuntimeUnavailableError, match='neither rknn_inputs_map nor rknn_dup'):
        find_library(ctypes.util.find_library('m') or 'libm.so.6')


def test_usual_folders_are_searched(standin, monkeypatch):
    monkeypatch.setattr(rknn_library, 'NAMES', (standin.path.name,))
    monkeypatch.setattr(rknn_library, 'FOLDERS', (str(standin.path.parent),))
    assert find_library().path == str(standin.path)
    not_found, found = probe_libraries()
    assert not_found.generation is None
    assert 'cannot open shared object file' in not_found.reason
    assert found.path == str(standin.path)


def test_error_lists_every_candidate(monkeypatch):
    monkeypatch.setattr(rknn_library, 'NAMES', ('libnone1.so', 'libnone2.so'))
    with pytest.raises(RuntimeUnavailableError, match=r'none1\.so: .*; libnone2\.so: .*Install'):
        find_library()
