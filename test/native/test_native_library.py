import ctypes
import gc
import logging
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fake_runtime import FakeRuntime

import superpoint_rknn
from superpoint_rknn.extractor import Extractor, descriptor_sampler, keypoint_detector
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import KeypointDetector
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.native import library as module
from superpoint_rknn.native.features import (
    MAX_SIZE,
    NativeDescriptorSampler,
    NativeKeypointDetector,
)
from superpoint_rknn.native.library import FILE_NAME, LibraryUnavailableError, load_library

QUANTIZATION = Quantization(0.1, 7, np.uint8)


@pytest.fixture
def without_library(monkeypatch, tmp_path):
    """The package as in an installation without the library."""
    monkeypatch.setattr(superpoint_rknn, '__path__', [str(tmp_path)])
    module._loaded.cache_clear()
    yield tmp_path
    module._loaded.cache_clear()


def test_the_library_is_used_where_it_is(native):
    assert module.implementation().startswith('native (')
    assert FILE_NAME in module.implementation()
    assert isinstance(keypoint_detector(16, 24), NativeKeypointDetector)
    assert isinstance(descriptor_sampler(8, 2, 3, QUANTIZATION), NativeDescriptorSampler)
    assert isinstance(keypoint_detector(8, MAX_SIZE + 8), KeypointDetector)
    assert isinstance(descriptor_sampler(8, 1, 1025, QUANTIZATION), DescriptorSampler)


def test_without_the_library_numpy_does_the_same(without_library, caplog):
    points = {(20, 12): 0.75, (28, 20): 0.5}
    with caplog.at_level(logging.INFO):
        extractors = [Extractor(FakeRuntime(points)) for _ in range(3)]
    height, width = extractors[0].network_size
    detection = extractors[0].detect(
        np.zeros((height, width), np.uint8), extractors[0].new_descriptor_map()
    )
    assert len(detection.keypoints) == 2
    assert extractors[0].describe(detection).shape[0] == 2
    assert isinstance(keypoint_detector(16, 24), KeypointDetector)
    assert isinstance(descriptor_sampler(8, 2, 3, QUANTIZATION), DescriptorSampler)
    assert module.implementation().startswith(f'NumPy (native/{FILE_NAME} is in none of')
    (record,) = [r for r in caplog.records if r.name == module.log.name]
    assert record.levelname == 'WARNING'
    assert str(without_library) in record.getMessage()


def test_it_is_looked_for_in_all_folders_of_the_package(native, tmp_path):
    folder = tmp_path / 'second' / 'native'
    folder.mkdir(parents=True)
    shutil.copy2(native._name, folder / FILE_NAME)
    loaded = load_library([str(tmp_path / 'first'), str(tmp_path / 'second')])
    assert Path(loaded._name) == folder / FILE_NAME


def test_a_file_that_is_no_library_is_refused(tmp_path):
    (tmp_path / 'native').mkdir()
    path = tmp_path / 'native' / FILE_NAME
    path.write_text('text')
    with pytest.raises(LibraryUnavailableError, match='build the package again') as error:
        load_library([str(tmp_path)])
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ('source', 'reason'),
    [
        ('int superpoint_interface_version(void) { return 0; }', 'has interface version 0'),
        ('int other(void) { return 0; }', 'superpoint_interface_version'),
    ],
)
def test_a_library_of_another_version_is_refused(tmp_path, source, reason):
    compiler = shutil.which(os.environ.get('CC', 'cc'))  # of the emulated machine in test/arm.sh
    if compiler is None:
        pytest.skip('needs a C compiler')
    (tmp_path / 'native').mkdir()
    (tmp_path / 'source.c').write_text(source)
    path = tmp_path / 'native' / FILE_NAME
    subprocess.run([compiler, '-shared', '-fPIC', '-o', path, tmp_path / 'source.c'], check=True)
    with pytest.raises(LibraryUnavailableError, match=reason):
        load_library([str(tmp_path)])


@pytest.mark.parametrize('features', [0, module.ARM_NEON, module.ARM_NEON | module.ARM_VFPV4])
def test_a_32_bit_arm_needs_neon(monkeypatch, native, features):
    class Process:
        def __init__(self, name):
            assert name is None
            self.getauxval = lambda what: {16: features}[what]
            self.getauxval = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong)(self.getauxval)

    folder = [str(Path(native._name).parents[1])]
    with monkeypatch.context() as patch:
        patch.setattr(module.platform, 'machine', lambda: 'armv7l')
        patch.setattr(module.sys, 'maxsize', 2**31 - 1)
        patch.setattr(module, '_open', lambda path: path)
        patch.setattr(module.ctypes, 'CDLL', Process)
        if features == module.ARM_NEON | module.ARM_VFPV4:
            assert load_library(folder) == Path(native._name)
        else:
            with pytest.raises(LibraryUnavailableError, match='no NEON'):
                load_library(folder)


def test_handles_are_destroyed_with_their_owners(native):
    class Library:
        created, destroyed = [], []

        def __getattr__(self, name):
            def function(*arguments):
                if name.endswith('_destroy'):
                    self.destroyed.extend(arguments)
                    return getattr(native, name)(*arguments)
                handle = getattr(native, name)(*arguments)
                self.created.append(handle)
                return handle

            return function

    library = Library()
    owners = [
        NativeKeypointDetector(library, 16, 24),
        NativeDescriptorSampler(library, 8, 2, 3, QUANTIZATION),
    ]
    assert len(library.created) == 2
    assert not library.destroyed
    owners.clear()
    gc.collect()
    assert sorted(library.destroyed) == sorted(library.created)
