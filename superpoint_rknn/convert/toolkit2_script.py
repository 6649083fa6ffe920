"""
Server that runs in the interpreter of rknn-toolkit2: one JSON request and one response a line.

A request is [name, arguments]: 'build' first, then the methods of Network.
The working directory contains the network, `network.onnx`, and the calibration set,
`dataset.txt`. The messages of the toolkit go to stderr. Only the simulator is opened, never a
board, since that would start an adb daemon.
"""

import importlib.metadata
import json
import os
import sys

import numpy as np
from rknn.api import RKNN
from ruamel.yaml import YAML

NETWORK = 'network'  # stem of the files
NO_FLOAT_LAYERS = 'custom_quantize_layers: {}'


class Network:
    """
    The network, quantized by the toolkit.

    quantization: scale and zero point of each 8-bit tensor.
    """

    def __init__(self, target: str, method: str, float_tensors: list[str]) -> None:
        """Quantize all tensors but `float_tensors`. method: 'layer' or 'channel' scales."""
        rknn = configure(target, method)
        check(rknn.load_onnx(model=f'{NETWORK}.onnx'), 'load_onnx')
        check(rknn.hybrid_quantization_step1(dataset='dataset.txt'), 'hybrid_quantization_step1')
        rknn.release()
        self.quantization = keep_float(f'{NETWORK}.quantization.cfg', float_tensors)
        self.rknn = configure(target, method)  # the second step needs a new object
        files = [f'{NETWORK}.{suffix}' for suffix in ('model', 'data', 'quantization.cfg')]
        check(self.rknn.hybrid_quantization_step2(*files), 'hybrid_quantization_step2')

    def export(self, path: str) -> dict:
        """Write the .rknn file."""
        check(self.rknn.export_rknn(path), 'export_rknn')
        return {}

    def simulate(self) -> dict:
        """Open the simulator."""
        check(self.rknn.init_runtime(), 'init_runtime')
        return {}

    def infer(self, image: str, outputs: str) -> dict:
        """Run a .npy image (1, 1, H, W) uint8; write the outputs, in order, as .npz."""
        values = self.rknn.inference([np.load(image)], data_format=['nchw'])
        if values is None:
            raise RuntimeError('inference returned nothing')
        np.savez(outputs, *values)
        return {}


def configure(target: str, method: str) -> RKNN:
    """Return a toolkit object for raw grey values: mean 0, std 1."""
    rknn = RKNN(verbose=False)
    config = rknn.config(
        mean_values=[[0]], std_values=[[1]], target_platform=target, quantized_method=method
    )
    check(config, 'config')
    return rknn


def keep_float(path: str, tensors: list[str]) -> dict[str, dict]:
    """Set tensors to float16 in the configuration; returns scale and zero point of the others."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    parameters = YAML(typ='safe').load(text)['quantize_parameters']
    # Inputs and outputs of the graph are listed twice: as floats, and with '_int8' as integers.
    real_name = {name: name[:-5] if name.endswith('_int8') else name for name in parameters}
    chosen = [f'    {name}: float16' for name in parameters if real_name[name] in tensors]
    # Edited as text, since the toolkit refuses numbers whose last digit changed.
    edited = text.replace(NO_FLOAT_LAYERS, '\n'.join(['custom_quantize_layers:', *chosen]), 1)
    if edited == text:
        raise RuntimeError(f'{path} does not begin with {NO_FLOAT_LAYERS!r}')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(edited)
    return {
        real_name[name]: {'scale': entry['scale'][0], 'zero_point': entry['zero_point'][0]}
        for name, entry in parameters.items()
        if entry['dtype'] == 'int8' and len(entry['scale']) == 1 and real_name[name] not in tensors
    }


def check(code: int, call: str) -> None:
    """Raise RuntimeError if a call of the toolkit did not return 0."""
    if code != 0:
        raise RuntimeError(f'{call} returned {code}')


def main() -> None:
    """Respond to requests until stdin ends."""
    responses = os.fdopen(os.dup(sys.stdout.fileno()), 'w', encoding='utf-8')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def respond(content: dict) -> None:
        responses.write(f'{json.dumps(content)}\n')
        responses.flush()

    respond({'version': importlib.metadata.version('rknn-toolkit2')})
    network = None
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            if name == 'build':
                network = Network(**arguments)
                respond({'quantization': network.quantization})
            else:
                respond(getattr(network, name)(**arguments))
        except Exception as error:  # the toolkit raises many undocumented types
            # Some messages contain a whole traceback, whose last line is the reason.
            reason = str(error).strip().split('\n')[-1]
            respond({'error': f'{name}: {reason}'})


if __name__ == '__main__':
    main()
