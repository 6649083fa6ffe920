#!/usr/bin/env python3
"""
Convert the network of this folder to .rknn with rknn-toolkit 1.7 (Python 3.6 or 3.8).

    python convert.py [--all-8-bit] [--precompile [DEVICE]]

--all-8-bit    the detector in 8 bits, too: faster, and less exact
--precompile   on a board that is attached by USB or network (adb), so that it loads fast there
"""

import json
import os
import re
import sys

from rknn.api import RKNN

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = 'superpoint'
CHOSEN = re.compile(r'^customized_quantize_layers:.*\n(?:[ \t]+.*\n)*', re.MULTILINE)
PARAMETER = re.compile(r'^ +[\'"]?@([^\'":]+):\w+[\'"]?: *$', re.MULTILINE)
# The detector's two layers, by the names of their nodes or outputs.
DETECTOR = (('convPa',), ('convPb', 'semi'))


def main(arguments):
    """Convert, and pre-compile if that is asked for."""
    os.chdir(HERE)
    with open('settings.json') as file:
        settings = json.load(file)
    if not hasattr(RKNN, 'export_rknn_precompile_model'):
        sys.exit('this is rknn-toolkit2, which does not know RV1126: rknn-toolkit 1.7 is needed')
    output = settings['output']
    if '--all-8-bit' in arguments:
        rknn = loaded(settings)
        succeed(rknn.build(do_quantization=True, dataset='dataset.txt'), 'build')
    else:
        rknn = mixed(settings)
    succeed(rknn.export_rknn(output), 'export_rknn')
    rknn.release()
    if '--precompile' in arguments:
        device = arguments[arguments.index('--precompile') + 1 :]
        precompile(settings['target'], output, device[0] if device else None)
    print(f'wrote {os.path.join(HERE, output)}')


def configured(settings):
    """Return a toolkit object for raw grey values: mean 0, std 1."""
    rknn = RKNN()
    config = rknn.config(
        mean_values=[[0]],
        std_values=[[1]],
        quantized_dtype='asymmetric_affine-u8',
        target_platform=[settings['target']],
        output_optimize=1,
        force_builtin_perm=False,
    )
    succeed(config, 'config')
    return rknn


def loaded(settings):
    """Return a toolkit object with the float network."""
    rknn = configured(settings)
    succeed(rknn.load_onnx(model=f'{NAME}.onnx'), 'load_onnx')
    return rknn


def mixed(settings):
    """Quantise all but the detector's layers, which the toolkit calls float32."""
    rknn = loaded(settings)
    succeed(rknn.hybrid_quantization_step1(dataset='dataset.txt'), 'hybrid_quantization_step1')
    rknn.release()
    with open(f'{NAME}.quantization.cfg') as file:
        text = file.read()
    with open(f'{NAME}.quantization.cfg', 'w') as file:
        file.write(with_float_detector(text))
    rknn = configured(settings)
    second = rknn.hybrid_quantization_step2(
        model_input=f'{NAME}.json',
        data_input=f'{NAME}.data',
        model_quantization_cfg=f'{NAME}.quantization.cfg',
        dataset='dataset.txt',
    )
    succeed(second, 'hybrid_quantization_step2')
    return rknn


def with_float_detector(text):
    """
    Return the configuration with the detector as float32, and nothing else.

    The toolkit names layers after their kind, their name in ONNX and a number, with an '@' in
    front: '@Conv_convPa_12:out0'. It may have chosen layers by itself.
    """
    layers = sorted(set(PARAMETER.findall(text)))
    lines = ['customized_quantize_layers:']
    for names in DETECTOR:
        found = [layer for layer in layers if set(names) & set(re.split('[^0-9A-Za-z]+', layer))]
        lines += [f'    "{layer}": float32' for layer in found]
        if not found or not CHOSEN.search(text):
            sys.exit(
                f'{NAME}.quantization.cfg does not look as expected: there is no '
                f'customized_quantize_layers or no layer {" or ".join(names)}. '
                'Choose float32 for the detector by hand and go on with '
                'hybrid_quantization_step2, or use --all-8-bit'
            )
    return CHOSEN.sub(lambda match: '\n'.join(lines) + '\n', text, count=1)


def precompile(target, output, device):
    """Let the board compile the network, and replace the file by what it made of it."""
    rknn = RKNN()
    succeed(rknn.load_rknn(output), 'load_rknn')
    runtime = rknn.init_runtime(target=target, device_id=device, rknn2precompile=True)
    succeed(runtime, 'init_runtime')
    compiled = f'{output}.compiled'
    succeed(rknn.export_rknn_precompile_model(compiled), 'export_rknn_precompile_model')
    rknn.release()
    os.replace(compiled, output)


def succeed(code, call):
    """End with a message if a call of the toolkit did not return 0."""
    if code != 0:
        sys.exit(f'{call} returned {code}: see what the toolkit said above')


if __name__ == '__main__':
    main(sys.argv[1:])
