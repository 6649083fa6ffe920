"""The stand-in detects structs of a wrong layout."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from superpoint_rknn.runtimes.rknn.abi import Input, Output, TensorAttr1, TensorAttr2, TensorMem2
from superpoint_rknn.runtimes.rknn.library import load_library


def layout(structure):
    offsets = {name: getattr(structure, name).offset for name, _ in structure._fields_}
    return offsets, ctypes.sizeof(structure)


def with_fields(structure, fields):
    return type(structure.__name__, (ctypes.Structure,), {'_fields_': fields})


def moved(structure):
    """All variants of a struct: fields from one on moved by 4 bytes, or two fields swapped."""
    fields = structure._fields_
    for i in range(len(fields)):
        pushed = [*fields[:i], ('wrong', ctypes.c_uint32), *fields[i:]]
        swapped = [*fields[:i], *reversed(fields[i : i + 2]), *fields[i + 2 :]]
        for kind, changed in (('pushed', pushed), ('swapped', swapped)):
            mutant = with_fields(structure, changed)
            offsets, size = layout(mutant)
            offsets.pop('wrong', None)
            if (offsets, size) != layout(structure):
                yield pytest.param(mutant, id=f'{structure.__name__}-{fields[i][0]}-{kind}')


def is_detected(standin, library, infer):
    """True if the stand-in reported a violation, or the tensors differ from those it describes."""
    try:
        runtime = infer(library)
    except (RuntimeError, UnicodeDecodeError):
        return True
    desc = standin.outputs[1]
    understood = runtime.descriptors.quantization
    misread = (understood.zero_point, understood.dtype) != (desc.zp, desc.dtype)
    return misread or standin.violations() != ''


def mutated_library(standin, **structures):
    library = load_library(standin.path)
    abi = replace(library.abi, **structures)
    abi.bind(library.functions)
    return replace(library, abi=abi)


def shares_memory(standin, library, infer):
    """True if zero copy works: the stand-in's model returns every pixel of its input."""
    standin.expect_input(None)
    standin.compute(
        lambda pixels, logits, _: np.copyto(logits.reshape(-1)[: pixels.size], pixels.reshape(-1))
    )
    return infer(library, zero_copy=True).zero_copy and standin.violations() == ''


def test_right_layout_passes(faulty, infer):
    library = load_library(faulty.path)
    assert not is_detected(faulty, library, infer)
    assert shares_memory(faulty, library, infer) == (faulty.generation == 2)


# The index of the only input is 0.
@pytest.mark.parametrize('mutant', [m for m in moved(Input) if m.id != 'Input-index-pushed'])
def test_moved_field_of_input(faulty, infer, mutant):
    assert is_detected(faulty, mutated_library(faulty, input=mutant), infer)


@pytest.mark.parametrize('mutant', list(moved(Output)))
def test_moved_field_of_output(faulty, infer, mutant):
    assert is_detected(faulty, mutated_library(faulty, output=mutant), infer)


@pytest.mark.parametrize('mutant', list(moved(TensorAttr1)))
def test_moved_field_of_tensor_attr_1(faulty1, infer, mutant):
    assert is_detected(faulty1, mutated_library(faulty1, tensor_attr=mutant), infer)


@pytest.mark.parametrize('mutant', list(moved(TensorAttr2)))
def test_moved_field_of_tensor_attr_2(faulty2, infer, mutant):
    library = mutated_library(faulty2, tensor_attr=mutant)
    assert is_detected(faulty2, library, infer) or not shares_memory(faulty2, library, infer)


@pytest.mark.parametrize(
    'mutant', [m for m in moved(TensorMem2) if m.id.startswith('TensorMem2-virt_addr')]
)
def test_moved_field_of_tensor_mem(faulty2, infer, mutant):
    """Only virt_addr is read; without it, zero copy falls back."""
    assert not shares_memory(faulty2, mutated_library(faulty2, tensor_mem=mutant), infer)


def test_tensor_attr_of_the_other_generation(faulty, infer):
    other = {1: TensorAttr2, 2: TensorAttr1}[faulty.generation]
    assert is_detected(faulty, mutated_library(faulty, tensor_attr=other), infer)
