"""
ABI structs, constants and prototypes of Rockchip's NPU libraries, both generations.

Generation 1 (RKNPU1: RV1126, RV1109) is `librknn_api.so`, generation 2 (RKNPU2: RV1126B, RK3588,
RK356x, RK3576) is `librknnrt.so`. docs/rknn_abi.md has the layouts on each processor.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_float, c_int, c_int8, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

# rknn_context is 32 bits wide on 32-bit ARM. The size of a pointer decides, not the kernel's
# machine name: a 32-bit userland may run on a 64-bit kernel.
Context = c_uint32 if ctypes.sizeof(c_void_p) == 4 else c_uint64

MAX_DIMS = 16
MAX_NAME = 256


class Query(IntEnum):
    """Commands of rknn_query."""

    IN_OUT_NUM = 0
    INPUT_ATTR = 1
    OUTPUT_ATTR = 2
    SDK_VERSION = 5


class TensorType(IntEnum):
    """Element types of tensors; those after INT16 exist in generation 2 only."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT8 = 2
    UINT8 = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    BOOL = 9


class Quantized(IntEnum):
    """Quantization schemes of a tensor."""

    NONE = 0
    DFP = 1  # dynamic fixed point: real = q * 2^-fl
    AFFINE = 2  # real = (q - zp) * scale


class Format(IntEnum):
    """Memory layout of a tensor."""

    NCHW = 0
    NHWC = 1


class InputOutputNum(ctypes.Structure):
    """Numbers of inputs and outputs of a model."""

    _fields_ = [('n_input', c_uint32), ('n_output', c_uint32)]


class SdkVersion(ctypes.Structure):
    """Versions of the library and of the kernel driver."""

    _fields_ = [('api_version', c_char * MAX_NAME), ('drv_version', c_char * MAX_NAME)]


class Input(ctypes.Structure):
    """One input of rknn_inputs_set."""

    _fields_ = [
        ('index', c_uint32),
        ('buf', c_void_p),
        ('size', c_uint32),
        ('pass_through', c_uint8),
        ('type', c_int32),
        ('fmt', c_int32),
    ]


class Output(ctypes.Structure):
    """One output of rknn_outputs_get."""

    _fields_ = [
        ('want_float', c_uint8),
        ('is_prealloc', c_uint8),
        ('index', c_uint32),
        ('buf', c_void_p),
        ('size', c_uint32),
    ]


_ATTR_BEFORE_ZP: list[tuple[str, Any]] = [
    ('index', c_uint32),
    ('n_dims', c_uint32),
    ('dims', c_uint32 * MAX_DIMS),
    ('name', c_char * MAX_NAME),
    ('n_elems', c_uint32),
    ('size', c_uint32),
    ('fmt', c_int32),
    ('type', c_int32),
    ('qnt_type', c_int32),
    ('fl', c_int8),
]


class TensorAttr1(ctypes.Structure):
    """Attributes of a tensor, generation 1; `dims` are reversed (W, H, C, N)."""

    _fields_ = [*_ATTR_BEFORE_ZP, ('zp', c_uint32), ('scale', c_float)]


class TensorAttr2(ctypes.Structure):
    """Attributes of a tensor, generation 2; `dims` are in the order that `fmt` names."""

    _fields_ = [
        *_ATTR_BEFORE_ZP,
        ('zp', c_int32),
        ('scale', c_float),
        ('w_stride', c_uint32),  # [elements], 0: equal to the width
        ('size_with_stride', c_uint32),
        ('pass_through', c_uint8),
        ('h_stride', c_uint32),
    ]


class TensorMem2(ctypes.Structure):
    """Memory shared by CPU and NPU, generation 2."""

    _fields_ = [
        ('virt_addr', c_void_p),
        ('phys_addr', c_uint64),
        ('fd', c_int32),
        ('offset', c_int32),
        ('size', c_uint32),
        ('flags', c_uint32),
        ('priv_data', c_void_p),
    ]


@dataclass(frozen=True)
class Abi:
    """ABI of one generation of the NPU libraries."""

    generation: int
    tensor_attr: type[ctypes.Structure]
    reversed_dims: bool
    tensor_mem: type[ctypes.Structure] | None  # None: no shared memory
    input: type[ctypes.Structure] = Input
    output: type[ctypes.Structure] = Output

    @property
    def prototypes(self) -> dict[str, tuple[Any, list[Any]]]:
        """Result type and argument types of every used function, by its name."""
        # The fifth argument of generation 2 is always NULL: its struct changes between releases.
        init = [ctypes.POINTER(Context), c_void_p, c_uint32, c_uint32]
        outputs = [Context, c_uint32, ctypes.POINTER(self.output)]
        prototypes: dict[str, tuple[Any, list[Any]]] = {
            'rknn_init': (c_int, init if self.generation == 1 else [*init, c_void_p]),
            'rknn_destroy': (c_int, [Context]),
            'rknn_query': (c_int, [Context, c_int, c_void_p, c_uint32]),
            'rknn_inputs_set': (c_int, [Context, c_uint32, ctypes.POINTER(self.input)]),
            'rknn_run': (c_int, [Context, c_void_p]),
            'rknn_outputs_get': (c_int, [*outputs, c_void_p]),
            'rknn_outputs_release': (c_int, outputs),
        }
        if self.tensor_mem is not None:
            mem = ctypes.POINTER(self.tensor_mem)
            attr = ctypes.POINTER(self.tensor_attr)
            prototypes |= {
                'rknn_create_mem': (mem, [Context, c_uint32]),
                'rknn_destroy_mem': (c_int, [Context, mem]),
                'rknn_set_io_mem': (c_int, [Context, mem, attr]),
                'rknn_set_core_mask': (c_int, [Context, c_int]),
            }
        return prototypes

    def bind(self, library: ctypes.CDLL) -> None:
        """Declare the prototypes. Raises AttributeError, which names a missing function."""
        for name, (restype, argtypes) in self.prototypes.items():
            function = getattr(library, name)
            function.restype = restype
            function.argtypes = argtypes


GENERATION_1 = Abi(1, TensorAttr1, reversed_dims=True, tensor_mem=None)
GENERATION_2 = Abi(2, TensorAttr2, reversed_dims=False, tensor_mem=TensorMem2)


def abi_of(library: ctypes.CDLL) -> Abi | None:
    """Return the ABI of a loaded library, by functions of one generation only; None if unknown."""
    if hasattr(library, 'rknn_inputs_map'):
        return GENERATION_1
    return GENERATION_2 if hasattr(library, 'rknn_dup_context') else None
