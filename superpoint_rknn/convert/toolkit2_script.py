"""
Runs inside the interpreter of rknn-toolkit2: takes orders, one JSON object a line, and answers.

The working directory holds the network, `network.onnx`, and its calibration set, `dataset.txt`.
What the toolkit prints goes to stderr. Only the simulator is ever opened: naming a real target
would start an adb daemon.
"""

import importlib.metadata
import json
import os
import sys

import numpy as np
from rknn.api import RKNN
from ruamel.yaml import YAML

NETWORK = 'network'
NOTHING_CHOSEN = 'custom_quantize_layers: {}'


class Builder:
    """The network in the toolkit's hands."""

    def __init__(self):
        self.rknn = None

    def build(self, target, method, float_tensors):
        """Quantise, but for `float_tensors`. Returns what the integers of each tensor mean."""
        rknn = configured(target, method)
        succeed(rknn.load_onnx(model=f'{NETWORK}.onnx'), 'load_onnx')
        succeed(rknn.hybrid_quantization_step1(dataset='dataset.txt'), 'hybrid_quantization_step1')
        rknn.release()
        quantization = leave_float(f'{NETWORK}.quantization.cfg', float_tensors)
        self.rknn = configured(target, method)  # the second step insists on an empty one
        files = [f'{NETWORK}.{suffix}' for suffix in ('model', 'data', 'quantization.cfg')]
        succeed(self.rknn.hybrid_quantization_step2(*files), 'hybrid_quantization_step2')
        return {'quantization': quantization}

    def export(self, path):
        """Write the .rknn file."""
        succeed(self.rknn.export_rknn(path), 'export_rknn')
        return {}

    def simulate(self):
        """Open the simulator."""
        succeed(self.rknn.init_runtime(), 'init_runtime')
        return {}

    def infer(self, image, outputs):
        """Run an image (1, 1, H, W) uint8 of a .npy file; write the outputs, in order, as .npz."""
        values = self.rknn.inference([np.load(image)], data_format=['nchw'])
        if values is None:
            raise RuntimeError('inference returned nothing')
        np.savez(outputs, *values)
        return {}


def configured(target, method):
    """Return a toolkit object for raw grey values: mean 0, std 1."""
    rknn = RKNN(verbose=False)
    config = rknn.config(
        mean_values=[[0]], std_values=[[1]], target_platform=target, quantized_method=method
    )
    succeed(config, 'config')
    return rknn


def leave_float(path, tensors):
    """Edit the configuration between the two steps; returns scale and zero point by tensor."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    parameters = YAML(typ='safe').load(text)['quantize_parameters']
    # A graph's input and outputs are listed twice: as floats, and with this ending as integers.
    real_name = {name: name[:-5] if name.endswith('_int8') else name for name in parameters}
    chosen = [f'    {name}: float16' for name in parameters if real_name[name] in tensors]
    # As text: the toolkit refuses numbers that came back with another last digit.
    edited = text.replace(NOTHING_CHOSEN, '\n'.join(['custom_quantize_layers:', *chosen]), 1)
    if edited == text:
        raise RuntimeError(f'{path} does not begin with {NOTHING_CHOSEN!r}')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(edited)
    return {
        real_name[name]: {'scale': entry['scale'][0], 'zero_point': entry['zero_point'][0]}
        for name, entry in parameters.items()
        if entry['dtype'] == 'int8' and len(entry['scale']) == 1 and real_name[name] not in tensors
    }


def succeed(code, call):
    """Raise RuntimeError if a call of the toolkit did not return 0."""
    if code != 0:
        raise RuntimeError(f'{call} returned {code}')


def main():
    """Answer orders until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w', encoding='utf-8')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(content):
        answers.write(f'{json.dumps(content)}\n')
        answers.flush()

    answer({'version': importlib.metadata.version('rknn-toolkit2')})
    builder = Builder()
    for line in sys.stdin:
        order, arguments = json.loads(line)
        try:
            answer(getattr(builder, order)(**arguments))
        except Exception as error:  # the toolkit documents none, and raises many kinds
            # Some carry a whole traceback as their text; the reason is its last line.
            reason = str(error).strip().split('\n')[-1]
            answer({'error': f'{order}: {reason}'})


if __name__ == '__main__':
    main()
