#!/usr/bin/env python3
"""
Convert the network of this folder to .rknn with rknn-toolkit 1.7 (Python 3.6 or 3.8).

    python convert.py [--all-8-bit] [--precompile [DEVICE]]

--all-8-bit    quantize the detector, too: faster, but less precise
--precompile   compile on a board attached by adb, so that the file loads fast there
"""

import json
import os
import re
import sys

from rknn.api import RKNN

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = 'superpoint'
FLOAT_LAYERS = re.compile(r'^customized_quantize_layers:.*\n(?:[ \t]+.*\n)*', re.MULTILINE)
PARAMETER = re.compile(r'^ +[\'"]?@([^\'":]+):\w+[\'"]?: *$', re.MULTILINE)
# Names of the nodes or outputs of the two layers of the detector.
DETECTOR = (('convPa',), ('convPb', 'semi'))


def main(arguments: 'list[str]') -> None:
    """Convert, and pre-compile on request."""
    os.chdir(HERE)
    with open('settings.json') as file:
        settings = json.load(file)
    if not hasattr(RKNN, 'export_rknn_precompile_model'):
        sys.exit(
            'this is rknn-toolkit2, which does not support RV1126: rknn-toolkit 1.7 is needed'
        )
    output = settings['output']
    if '--all-8-bit' in arguments:
        rknn = load(settings)
        check(rknn.build(do_quantization=True, dataset='dataset.txt'), 'build')
    else:
        rknn = build_hybrid(settings)
    check(rknn.export_rknn(output), 'export_rknn')
    rknn.release()
    if '--precompile' in arguments:
        device = arguments[arguments.index('--precompile') + 1 :]
        precompile(settings['target'], output, device[0] if device else None)
    print(f'wrote {os.path.join(HERE, output)}')


def configure(settings: 'dict[str, str]') -> RKNN:
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
    check(config, 'config')
    return rknn


def load(settings: 'dict[str, str]') -> RKNN:
    """Return a toolkit object with the float network."""
    rknn = configure(settings)
    check(rknn.load_onnx(model=f'{NAME}.onnx'), 'load_onnx')
    return rknn


def build_hybrid(settings: 'dict[str, str]') -> RKNN:
    """Quantize all layers but those of the detector, which stay in float32."""
    rknn = load(settings)
    check(rknn.hybrid_quantization_step1(dataset='dataset.txt'), 'hybrid_quantization_step1')
    rknn.release()
    with open(f'{NAME}.quantization.cfg') as file:
        text = file.read()
    with open(f'{NAME}.quantization.cfg', 'w') as file:
        file.write(with_float_detector(text))
    rknn = configure(settings)
    second = rknn.hybrid_quantization_step2(
        model_input=f'{NAME}.json',
        data_input=f'{NAME}.data',
        model_quantization_cfg=f'{NAME}.quantization.cfg',
        dataset='dataset.txt',
    )
    check(second, 'hybrid_quantization_step2')
    return rknn


def with_float_detector(text: str) -> str:
    """
    Return the configuration with only the detector in float32.

    The toolkit names a layer '@Conv_convPa_12:out0': its type, its name in the ONNX file and a
    number. Layers that the toolkit itself chose for another type are removed from the list.
    """
    layers = sorted(set(PARAMETER.findall(text)))
    lines = ['customized_quantize_layers:']
    for names in DETECTOR:
        found = [layer for layer in layers if set(names) & set(re.split('[^0-9A-Za-z]+', layer))]
        lines += [f'    "{layer}": float32' for layer in found]
        if not found or not FLOAT_LAYERS.search(text):
            sys.exit(
                f'{NAME}.quantization.cfg does not look as expected: there is no '
                f'customized_quantize_layers or no layer {" or ".join(names)}. '
                'Choose float32 for the detector by hand and go on with '
                'hybrid_quantization_step2, or use --all-8-bit'
            )
    return FLOAT_LAYERS.sub(lambda _: '\n'.join(lines) + '\n', text, count=1)


def precompile(target: str, output: str, device: 'str | None') -> None:
    """Compile the network on the board, and replace the file by the result."""
    rknn = RKNN()
    check(rknn.load_rknn(output), 'load_rknn')
    runtime = rknn.init_runtime(target=target, device_id=device, rknn2precompile=True)
    check(runtime, 'init_runtime')
    compiled = f'{output}.compiled'
    check(rknn.export_rknn_precompile_model(compiled), 'export_rknn_precompile_model')
    rknn.release()
    os.replace(compiled, output)


def check(code: int, call: str) -> None:
    """Exit with a message if a call of the toolkit did not return 0."""
    if code != 0:
        sys.exit(f'{call} returned {code}: see the messages of the toolkit above')


if __name__ == '__main__':
    main(sys.argv[1:])
