"""Fixtures of board-report: a board that is emulated on the stand-ins of Rockchip's library."""

import json
import shutil

import numpy as np
import pytest
from rknn_standin import Standin

from superpoint_rknn import cli
from superpoint_rknn.board_report import command, times
from superpoint_rknn.runtimes.model_files import shipped_models
from superpoint_rknn.runtimes.rknn import context, library
from superpoint_rknn.runtimes.rknn.context import RknnContext

CHIPS = {1: 'rv1126', 2: 'rk3588'}


class Recorded:
    """Outputs of the CPU's network for the images of the tests, computed once each."""

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


@pytest.fixture(scope='session')
def networks():
    """The shipped CPU networks by name."""
    from superpoint_rknn.runtimes.model_files import SHIPPED, default_model
    from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

    return {name: Recorded(OnnxRuntime(default_model(None, name))) for name in SHIPPED}


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
