"""Fixtures of board-report: a board that is emulated on the stand-ins of Rockchip's library."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest
from rknn_standin import Standin

from superpoint_rknn import cli
from superpoint_rknn.board_report import command, golden, times
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.model_files import SHIPPED, default_model, shipped_models
from superpoint_rknn.runtimes.rknn import context, library
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.runtime import TensorSpec

OUTPUTS = 'GOLDEN_OUTPUTS'  # file of make_golden.py, for machines without onnxruntime
CHIPS = {1: 'rv1126', 2: 'rk3588'}


class Cached:
    """A runtime that computes the outputs for each image once."""

    def __init__(self, runtime):
        self._runtime = runtime
        self.input, self.descriptors = runtime.input, runtime.descriptors
        self._outputs = {}

    def infer(self, image, raw):
        key = image.tobytes()
        if key not in self._outputs:
            logits = self._runtime.infer(image, raw).copy()
            self._outputs[key] = logits, raw.copy()
        np.copyto(raw, self._outputs[key][1])
        return self._outputs[key][0]


class Recorded:
    """
    The outputs of a CPU network for the golden images, from a file of make_golden.py.

    Other images give those of the photograph, moved by a number that depends on the image.
    """

    def __init__(self, file, name):
        goldens = golden.load_goldens(name)
        with np.load(file) as arrays:
            self._outputs = {
                goldens[image].image.tobytes(): tuple(
                    arrays[f'{name}_{image}_{output}'] for output in ('logits', 'descriptors')
                )
                for image in golden.IMAGES
            }
        self._photograph = goldens['photograph'].image.tobytes()
        quantization = goldens['photograph'].quantization
        pixels = Quantization(1.0, 0, np.uint8)
        self.input = TensorSpec('image', (1, 1, 400, 640), np.dtype(np.uint8), pixels)
        self.descriptors = TensorSpec('desc', (1, 256, 50, 80), np.dtype(np.uint8), quantization)

    def infer(self, image, raw):
        outputs = self._outputs.get(image.tobytes())
        if outputs is None:
            step = zlib.crc32(image.tobytes()) % 79 + 1
            outputs = [np.roll(o, step, 2) for o in self._outputs[self._photograph]]
        np.copyto(raw, outputs[1])
        return outputs[0]


@pytest.fixture(scope='session')
def networks():
    """The shipped CPU networks by name."""
    if OUTPUTS in os.environ:
        return {name: Recorded(os.environ[OUTPUTS], name) for name in SHIPPED}
    from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

    return {name: Cached(OnnxRuntime(default_model(None, name))) for name in SHIPPED}


class Board:
    """A board on a stand-in; `report()` runs the command on it."""

    def __init__(self, generation, standin, networks, folder, monkeypatch):
        self.generation, self.standin, self._networks = generation, standin, networks
        self.folder, self.output, self.chip = folder, folder / 'out', CHIPS[generation]
        self._monkeypatch = monkeypatch
        self.faults = []  # functions that make the stand-in wrong, called before each rknn_init
        self.models = {}
        for name in networks:
            path = folder / f'{name}_400x640_{self.chip}.rknn'
            if generation == 2:
                for suffix in ('.rknn', '.json'):
                    shutil.copy(
                        shipped_models() / f'{name}_400x640_rk3588{suffix}',
                        path.with_suffix(suffix),
                    )
            else:  # no model is shipped for this chip: any file, and the card of the CPU's model
                path.write_bytes(f'model {name}'.encode())
                shutil.copy(
                    shipped_models() / f'{name}_400x640_u8.json', path.with_suffix('.json')
                )
            self.models[path.read_bytes()] = name

    @property
    def card(self):
        return self.folder / f'superpoint_400x640_{self.chip}.json'

    def start(self, chip=None):
        """Let the package see the board and the stand-in's library alone."""
        patch = self._monkeypatch.setattr
        patch(command, 'detect_soc', lambda: chip or self.chip)
        patch(command, 'find_model', lambda name, soc: self.model(name))
        patch(library, '_candidates', lambda path: [str(self.standin.path)])
        patch(times, 'CALLS', 2)
        patch(times, 'WARM_UP', 0)
        patch(command, 'inspect_machine', self._inspect(command.inspect_machine))
        init = RknnContext.__init__

        def emulate_then_init(context, library, model):
            if not self.standin.count('contexts'):
                self.standin.set_model(model)
                self.standin.emulate(self._networks[self.models[model]])
                for fault in self.faults:
                    fault(self.standin)
            init(context, library, model)

        patch(context.RknnContext, '__init__', emulate_then_init)

    def model(self, name='superpoint'):
        return self.folder / f'{name}_400x640_{self.chip}.rknn'

    def report(self, *arguments):
        """Run the command; return its exit code and the report."""
        code = cli.main(['board-report', '-o', str(self.output), *arguments])
        return code, json.loads((self.output / 'report.json').read_text())

    def _inspect(self, inspect):
        def inspected(soc, advice):
            report = inspect(soc, advice)
            report['board'] |= {'model': 'Stand-in board', 'npu_driver': '0.9.8'}
            return report

        return inspected


@pytest.fixture(scope='session')
def standins(standin_libraries):
    return {
        generation: Standin(generation, path) for generation, path in standin_libraries.items()
    }


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def board(request, standins, networks, tmp_path, monkeypatch):
    standin = standins[request.param]
    standin.reset()
    board = Board(request.param, standin, networks, tmp_path, monkeypatch)
    board.start()
    yield board
    assert not standin.violations()
    assert standin.count('contexts') == 0
