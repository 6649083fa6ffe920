"""Build and control the stand-in for Rockchip's library."""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from superpoint_rknn.runtimes.rknn.abi import Format, Quantized, TensorType

SOURCES = Path(__file__).parent
PREBUILT = (
    'RKNN_STANDIN_DIR'  # folder of cross-compiled stand-ins, for machines without a compiler
)
NETWORK = ctypes.CFUNCTYPE(None, *[ctypes.POINTER(ctypes.c_uint8)] * 3)
LIBRARY_NAMES = {1: 'librknn_api.so', 2: 'librknnrt.so'}
DTYPES = {
    TensorType.FLOAT32: np.float32,
    TensorType.FLOAT16: np.float16,
    TensorType.INT8: np.int8,
    TensorType.UINT8: np.uint8,
    TensorType.INT16: np.int16,
}
MODEL = b'RKNN stand-in model'


def build(generation: int, folder: Path, *defines: str) -> Path:
    """Compile the stand-in of one generation with the system's compiler."""
    library = folder / '-'.join([f'v{generation}', *defines]) / LIBRARY_NAMES[generation]
    prebuilt = os.environ.get(PREBUILT)
    if prebuilt:
        return Path(prebuilt) / library.relative_to(folder)
    library.parent.mkdir(parents=True)
    options = ['-std=c11', '-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-pthread']
    options += [f'-DGENERATION={generation}', *(f'-D{define}' for define in defines)]
    sources = map(str, sorted(SOURCES.glob('*.c')))
    subprocess.run(['cc', *options, '-o', str(library), *sources, '-lm'], check=True)
    return library


@dataclass(frozen=True)
class Tensor:
    """A tensor as the stand-in describes it; dims in the order of fmt."""

    name: str
    dims: tuple[int, ...]
    type: TensorType
    fmt: Format = Format.NCHW
    qnt_type: Quantized = Quantized.NONE
    fl: int = 0
    zp: int = 0
    scale: float = 1.0
    w_stride: int = 0
    size_with_stride: int = 0  # 0: computed from w_stride

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(DTYPES[self.type])


class Standin:
    """One loaded stand-in library and the model that it emulates."""

    def __init__(self, generation: int, path: Path):
        self.generation = generation
        self.path = path
        self._functions = ctypes.CDLL(str(path))
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.reset()

    def reset(self) -> None:
        self._functions.standin_reset()
        self.inputs, self.outputs = [], []
        self._compute = None
        self.set_model(MODEL)

    def set_model(self, content: bytes) -> None:
        self._functions.standin_model(content, len(content))

    def set_tensors(self, image: Tensor, *outputs: Tensor) -> None:
        self.inputs, self.outputs = [image], list(outputs)
        for is_output, tensors in enumerate((self.inputs, self.outputs)):
            for index, tensor in enumerate(tensors):
                self._set_tensor(is_output, index, tensor)

    def set_superpoint(
        self, height: int = 16, width: int = 24, channels: int = 8, **image
    ) -> None:
        """Describe a SuperPoint as the converters write it; `image`: changes to the input."""
        rows, cols = height // 8, width // 8
        if self.generation == 1:
            pixels = Tensor('image', (1, 1, height, width), TensorType.UINT8)
            raw, zp = TensorType.UINT8, 136
        else:
            pixels = Tensor('image', (1, height, width, 1), TensorType.INT8, Format.NHWC, zp=-128)
            raw, zp = TensorType.INT8, 8
        self.set_tensors(
            replace(pixels, **{'qnt_type': Quantized.AFFINE, **image}),
            Tensor('semi', (1, 65, rows, cols), TensorType.FLOAT16),
            Tensor(
                'desc',
                (1, channels, rows, cols),
                raw,
                qnt_type=Quantized.AFFINE,
                zp=zp,
                scale=4.625256,
            ),
        )

    def set_output(self, index: int, values: np.ndarray) -> None:
        """Set an output, in its native type and memory order."""
        tensor = self.outputs[index]
        assert values.shape == tensor.dims[1:]
        assert values.dtype == tensor.dtype
        self._functions.standin_set_output(index, np.ascontiguousarray(values).tobytes())

    def set_random_outputs(self, seed: int = 0) -> list[np.ndarray]:
        """Set every output to noise; return them in memory order."""
        generator = np.random.default_rng(seed)
        outputs = []
        for index, tensor in enumerate(self.outputs):
            values = generator.integers(-100, 100, tensor.dims[1:]).astype(tensor.dtype)
            if tensor.dtype.kind == 'f':
                values /= tensor.dtype.type(16)
            self.set_output(index, values)
            outputs.append(values)
        return outputs

    def compute(self, network) -> None:
        """Let `network(input, output0, output1)` compute the outputs in place at each run."""
        self.network = network
        tensors = [*self.inputs, *self.outputs]

        def call(*pointers):
            network(
                *(
                    np.ctypeslib.as_array(pointer, (self._bytes(tensor),))
                    .view(tensor.dtype)
                    .reshape(tensor.dims[1:])
                    for pointer, tensor in zip(pointers, tensors, strict=True)
                )
            )

        self._compute = NETWORK(call)
        self._functions.standin_compute(self._compute)

    def emulate(self, runtime) -> None:
        """
        Emulate an NPU by `runtime`, a CPU runtime with a uint8 model.

        Generation 2 has the same integers as int8: q - 128, with a zero point lower by 128.
        """
        _, _, height, width = runtime.input.shape
        self.set_superpoint(height, width, runtime.descriptors.shape[1])
        image, semi, desc = self.inputs[0], self.outputs[0], self.outputs[1]
        flip = 0x80 if self.generation == 2 else 0
        quantization = runtime.descriptors.quantization
        self.set_tensors(
            replace(
                image,
                scale=runtime.input.quantization.scale,
                zp=runtime.input.quantization.zero_point - flip,
            ),
            replace(semi, type=TensorType.FLOAT32),
            replace(desc, scale=quantization.scale, zp=quantization.zero_point - flip),
        )
        raw = np.empty(runtime.descriptors.shape[1:], np.uint8)

        def network(pixels, logits, descriptors):
            grey = pixels.view(np.uint8).reshape(height, width) ^ np.uint8(flip)
            logits[:] = runtime.infer(grey, raw)
            descriptors.view(np.uint8)[:] = raw ^ np.uint8(flip)

        self.compute(network)

    def expect_input(self, values: np.ndarray | None) -> None:
        """Set the expected model input, in its native type; None: any."""
        content = None if values is None else np.ascontiguousarray(values).tobytes()
        self._functions.standin_expect_input(content)

    def last_input(self) -> np.ndarray:
        values = np.empty(self.inputs[0].dims, self.inputs[0].dtype)
        self._functions.standin_last_input(values.ctypes.data_as(ctypes.c_void_p))
        return values

    def set_normalisation(self, mean: float, std: float) -> None:
        self._functions.standin_normalisation(ctypes.c_double(mean), ctypes.c_double(std))

    def set_sizes(
        self, is_output: bool, index: int, claimed: int = 0, elements: int = 0, written: int = 0
    ) -> None:
        self._functions.standin_sizes(is_output, index, claimed, elements, written)

    def always_float(self) -> None:
        """Write float also where raw elements are requested."""
        self._functions.standin_always_float(1)

    def delay(self, function: str, milliseconds: int) -> None:
        """Let each call of a function take at least this long."""
        self._functions.standin_delay(function.encode(), milliseconds)

    def reject_float(self) -> None:
        self._functions.standin_reject_float(1)

    def fail(self, function: str, code: int, times: int = 1) -> None:
        self._functions.standin_fail(function.encode(), code, times)

    def block(self, function: str, on: bool) -> None:
        self._functions.standin_block(function.encode(), on)

    def count(self, what: str) -> int:
        """Calls of a function so far, or live 'contexts', 'outputs', 'mems'."""
        return self._functions.standin_count(what.encode())

    def violations(self) -> str:
        """Violations since the last call, a line each."""
        text = ctypes.create_string_buffer(8192)
        self._functions.standin_violations(text, len(text))
        return text.value.decode()

    def _bytes(self, tensor: Tensor) -> int:
        return int(np.prod(tensor.dims)) * tensor.dtype.itemsize

    def _set_tensor(self, is_output: int, index: int, tensor: Tensor) -> None:
        dims = (ctypes.c_uint32 * 16)(*tensor.dims)
        self._functions.standin_tensor(
            is_output,
            index,
            tensor.name.encode(),
            len(tensor.dims),
            dims,
            int(tensor.fmt),
            int(tensor.type),
            int(tensor.qnt_type),
            tensor.fl,
            tensor.zp,
            ctypes.c_float(tensor.scale),
            tensor.w_stride,
            tensor.size_with_stride,
        )
