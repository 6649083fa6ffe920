"""The stand-in rejects wrong arguments and a wrong order of calls."""

import contextlib
import ctypes
import threading
from dataclasses import replace
from functools import partial

import pytest
from rknn_standin import Standin

from superpoint_rknn.runtimes.rknn.abi import Context
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.rknn.library import load_library
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime


class ChangedLibrary:
    """A library with a changed call of one function."""

    def __init__(self, functions, name, change):
        self._functions = functions
        self._name = name
        self._change = change

    def __getattr__(self, name):
        function = getattr(self._functions, name)
        return partial(self._change, function) if name == self._name else function


def change_call(standin, name, change):
    library = load_library(standin.path)
    return replace(library, functions=ChangedLibrary(library.functions, name, change))


def first(**fields):
    """Change fields of the first input or output."""

    def change(function, handle, count, items, *rest):
        for field, value in fields.items():
            setattr(items[0], field, value)
        return function(handle, count, items, *rest)

    return change


def fewer(function, handle, count, items, *rest):
    return function(handle, 0, items, *rest)


def not_at_all(function, *arguments):
    return 0


def twice(function, *arguments):
    function(*arguments)
    return function(*arguments)


def extended(function, *arguments):
    return function(*arguments[:-1], ctypes.addressof(ctypes.c_uint64(1)))


def flagged(function, handle, content, size, flag, *rest):
    return function(handle, content, size, 0x20, *rest)


def cut(function, handle, content, size, *rest):
    return function(handle, content, size - 1, *rest)


def other_context(function, handle, *rest):
    return function(Context(handle.value + 1), *rest)


def swapped(function, handle, count, items, *rest):
    if count == 2:
        items[0], items[1] = items[1], items[0]
    return function(handle, count, items, *rest)


@pytest.mark.parametrize(
    ('name', 'change', 'violation'),
    [
        ('rknn_init', flagged, 'flag 20'),
        ('rknn_init', cut, 'size 18, expected 19'),
        ('rknn_query', other_context, 'unknown context'),
        ('rknn_run', other_context, 'unknown context'),
        ('rknn_inputs_set', first(index=1), 'index 1'),
        ('rknn_inputs_set', first(buf=None), 'no buffer'),
        ('rknn_inputs_set', first(size=383), 'size 383, expected 384'),
        ('rknn_inputs_set', first(pass_through=2), 'pass_through 2'),
        ('rknn_inputs_set', first(pass_through=0, type=2), 'type 2, expected 3'),
        ('rknn_inputs_set', first(type=1), 'type 1'),
        ('rknn_inputs_set', first(fmt=2), 'fmt 2'),
        ('rknn_inputs_set', fewer, '0 inputs'),
        ('rknn_inputs_set', not_at_all, 'rknn_run: no input is set'),
        ('rknn_run', extended, 'the second argument is not NULL'),
        ('rknn_run', not_at_all, 'rknn_outputs_get: nothing was run'),
        ('rknn_run', twice, 'rknn_run: no input is set'),
        ('rknn_outputs_get', extended, 'the fourth argument is not NULL'),
        ('rknn_outputs_get', first(want_float=2), 'want_float 2'),
        ('rknn_outputs_get', first(want_float=0), 'output 0: size 1560, expected 780'),
        ('rknn_outputs_get', first(is_prealloc=0), 'is_prealloc 0'),
        ('rknn_outputs_get', first(index=1), 'index 1 in place 0'),
        ('rknn_outputs_get', first(buf=None), 'output 0 has no buffer'),
        ('rknn_outputs_get', first(size=1564), 'size 1564, expected 1560'),
        ('rknn_outputs_get', fewer, '0 outputs'),
        ('rknn_outputs_get', swapped, 'index 1 in place 0'),
        ('rknn_outputs_get', twice, 'rknn_outputs_get: nothing was run'),
        ('rknn_outputs_get', not_at_all, 'rknn_outputs_release: nothing to release'),
        ('rknn_outputs_release', first(buf=1), 'output 0 is not the one fetched'),
        ('rknn_outputs_release', fewer, '0 outputs of'),
        ('rknn_outputs_release', not_at_all, 'outputs are not released'),
        ('rknn_outputs_release', twice, 'nothing to release'),
        ('rknn_destroy', twice, 'rknn_destroy: after rknn_destroy'),
        ('rknn_destroy', other_context, 'unknown context'),
    ],
)
def test_wrong_argument_or_order_is_a_violation(faulty, infer, name, change, violation):
    with contextlib.suppress(RuntimeError):
        infer(change_call(faulty, name, change))
    assert violation in faulty.violations()


def test_fifth_argument_of_rknn_init_must_be_null(standin_libraries, infer):
    standin = Standin(2, standin_libraries[2])
    with pytest.raises(RuntimeError):
        infer(change_call(standin, 'rknn_init', extended))
    assert 'the fifth argument is not NULL' in standin.violations()


def attribute(of=b'image', **fields):
    """Change attributes of one tensor."""

    def change(function, handle, mem, attr):
        for field, value in fields.items() if attr.name == of else ():
            setattr(attr, field, value)
        return function(handle, mem, attr)

    return change


def small(function, handle, size):
    return function(handle, size - 1)


@pytest.mark.parametrize(
    ('name', 'change', 'violation'),
    [
        ('rknn_set_io_mem', attribute(type=2), 'input as type 2'),
        ('rknn_set_io_mem', attribute(fmt=0), 'input as type 3, fmt 0'),
        ('rknn_set_io_mem', attribute(pass_through=1), 'pass_through 1'),
        ('rknn_set_io_mem', attribute(w_stride=24), 'w_stride 24, size_with_stride 528'),
        ('rknn_set_io_mem', attribute(name=b'other'), "no tensor 'other'"),
        ('rknn_set_io_mem', attribute(b'semi', type=2), 'output as type 2'),
        ('rknn_set_io_mem', attribute(b'semi', pass_through=1), 'output with pass_through 1'),
        ('rknn_set_io_mem', attribute(b'desc', fmt=1), 'output as fmt 1'),
        ('rknn_set_io_mem', attribute(b'desc', size=1), 'output size 1'),
        ('rknn_create_mem', small, 'expected'),
        ('rknn_destroy_mem', not_at_all, 'memory is not destroyed'),
        ('rknn_destroy_mem', twice, 'unknown memory'),
    ],
)
def test_wrong_use_of_shared_memory_is_a_violation(faulty2, infer, name, change, violation):
    faulty2.expect_input(None)
    with contextlib.suppress(RuntimeError):
        infer(change_call(faulty2, name, change), zero_copy=True)
    assert violation in faulty2.violations()


def test_inputs_set_after_set_io_mem_is_a_violation(faulty2, model, image):
    """The real library rejects it, too."""
    faulty2.expect_input(None)
    runtime = LibrknnRuntime(model, library=faulty2.path, zero_copy=True)
    copied = runtime._copy_transfer()
    with pytest.raises(RuntimeError, match='rknn_inputs_set'):
        copied.set_input(image)
    assert 'rknn_inputs_set: after rknn_set_io_mem' in faulty2.violations()
    runtime.close()


def test_write_beyond_shared_memory_is_a_violation(faulty2, model):
    context = RknnContext(load_library(faulty2.path), model.read_bytes())
    mem = context.create_mem(16)
    ctypes.memset(mem.virt_addr, 0, 17)
    with pytest.raises(RuntimeError, match='rknn_destroy_mem'):
        context.destroy_mem(mem)
    assert 'memory was overrun' in faulty2.violations()


def test_concurrent_calls_are_a_violation(faulty, model):
    context = RknnContext(load_library(faulty.path), model.read_bytes())
    faulty.block('rknn_query', True)
    thread = threading.Thread(target=context.versions, daemon=True)
    thread.start()
    while faulty.count('rknn_query') == 0:
        thread.join(0.001)
    with pytest.raises(RuntimeError, match='rknn_run'):
        context.run()
    assert 'rknn_run: a second thread entered the context' in faulty.violations()
    faulty.block('rknn_query', False)
    thread.join()
    context.destroy()
