import numpy as np
import pytest
from rknn_standin import Standin

from superpoint_rknn.runtimes.rknn.abi import Format
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime


def checked(generation, standin_libraries):
    standin = Standin(generation, standin_libraries[generation])
    yield standin
    assert standin.violations() == ''
    assert standin.count('outputs') == 0
    standin.reset()


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def standin(request, standin_libraries):
    """A stand-in of each generation; the test fails on any violation."""
    yield from checked(request.param, standin_libraries)


@pytest.fixture
def standin2(standin_libraries):
    """A stand-in of generation 2."""
    yield from checked(2, standin_libraries)


@pytest.fixture
def image():
    """A model input of the default size of stand-ins."""
    return np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)


def with_violations(generation, standin_libraries, image):
    standin = Standin(generation, standin_libraries[generation])
    # No tested field is 0, which would look the same at a wrong offset.
    standin.set_superpoint(w_stride=33, dims=(1, 16, 24, 1), fmt=Format.NHWC)
    standin.set_random_outputs()
    standin.expect_input(image ^ 0x80 if standin.generation == 2 else image)
    yield standin
    standin.reset()


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def faulty(request, standin_libraries, image):
    """A stand-in of each generation, whose violations the test checks itself."""
    yield from with_violations(request.param, standin_libraries, image)


@pytest.fixture
def faulty1(standin_libraries, image):
    """`faulty` of generation 1."""
    yield from with_violations(1, standin_libraries, image)


@pytest.fixture
def faulty2(standin_libraries, image):
    """`faulty` of generation 2."""
    yield from with_violations(2, standin_libraries, image)


@pytest.fixture
def infer(model, image):
    """Function that runs two inferences on a library, as the extractor does."""

    def infer_on(library, **options):
        runtime = LibrknnRuntime(
            model, library=library, mean=0, std=1, pass_through='true', **options
        )
        descriptors = np.zeros(runtime.descriptors.shape[1:], runtime.descriptors.dtype)
        try:
            runtime.infer(image, descriptors)
            runtime.infer(image, None)
        finally:
            runtime.close()
        return runtime

    return infer_on
