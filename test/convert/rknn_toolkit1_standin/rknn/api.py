"""
Stand-in for rknn-toolkit 1.7, which needs Python 3.6 or 3.8, with the calls of a conversion.

The exported file contains the arguments of the calls as JSON. The format of the configuration
between the two steps is that of rockchip-linux/rknn-toolkit#423.
"""

import json
import re
from pathlib import Path

CONFIGURATION = """\
%YAML 1.2
---
# add layer name and corresponding quantized_dtype to customized_quantize_layers
customized_quantize_layers:
    "Conv_conv1a_1": dynamic_fixed_point-i16

quantize_parameters:
    '@Conv_conv4b_20:weight':
        dtype: asymmetric_affine
    '@Conv_conv4b_20:out0':
        dtype: asymmetric_affine
    '@Conv_convPa_22:weight':
        dtype: asymmetric_affine
    '@Conv_convPa_22:out0':
        dtype: asymmetric_affine
    '@Relu_convPa_relu_23:out0':
        dtype: asymmetric_affine
    '@Conv_convPb_24:out0':
        dtype: asymmetric_affine
    '@attach_semi/out0_0:out0':
        dtype: asymmetric_affine
    '@Conv_convDb_27:out0':
        dtype: asymmetric_affine
"""


class RKNN:
    def __init__(self):
        self.calls = {}

    def config(self, **settings):
        self.calls['config'] = settings
        return 0

    def load_onnx(self, model):
        self.network = Path(model)
        return 0 if self.network.is_file() else -1

    def build(self, do_quantization, dataset):
        self.calls['layers'] = {}
        return 0 if do_quantization and self._has_images(dataset) else -1

    def hybrid_quantization_step1(self, dataset):
        for suffix, text in (('json', '{}'), ('data', ''), ('quantization.cfg', CONFIGURATION)):
            Path(f'{self.network.stem}.{suffix}').write_text(text)
        return 0 if self._has_images(dataset) else -1

    def hybrid_quantization_step2(self, model_input, data_input, model_quantization_cfg, dataset):
        text = Path(model_quantization_cfg).read_text()
        chosen = text.partition('customized_quantize_layers:\n')[2].partition('quantize_par')[0]
        self.calls['layers'] = dict(re.findall(r'^    "(.+)": (.+)$', chosen, re.MULTILINE))
        files = Path(model_input).is_file() and Path(data_input).is_file()
        return 0 if files and self._has_images(dataset) else -1

    def export_rknn(self, path):
        Path(path).write_text(json.dumps(self.calls))
        return 0

    def load_rknn(self, path):
        self.calls = json.loads(Path(path).read_text())
        return 0

    def init_runtime(self, target, device_id, rknn2precompile):
        self.calls['compiled'] = {'target': target, 'device': device_id}
        return 0 if rknn2precompile and device_id != 'unplugged' else -1

    def export_rknn_precompile_model(self, path):
        return self.export_rknn(path)

    def release(self):
        pass

    def _has_images(self, dataset):
        return all(Path(line).is_file() for line in Path(dataset).read_text().split())
