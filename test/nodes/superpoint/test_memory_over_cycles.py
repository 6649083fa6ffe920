"""Memory of a node that is configured and cleaned up again and again, with each runtime."""

import sys
from pathlib import Path

import pytest
from superpoint.test_standin_node import library_path

from superpoint_rknn.runtimes.model_files import default_model

NODES = Path(__file__).parents[1]
ROUNDS = 50
GROWTH = 20.0  # [MB] after the first 20 rounds


@pytest.mark.slow
@pytest.mark.parametrize('generation', [None, 1, 2], ids=['onnxruntime', 'v1', 'v2'])
def test_memory_does_not_grow_over_cycles(graph, standin_libraries, model, generation):
    arguments, env = [default_model(None)], {}
    if generation is not None:
        arguments = [model, standin_libraries[generation], generation]
        env = library_path(standin_libraries[generation])
    env['PYTHONPATH'] = f'{NODES}:{NODES.parent / "rknn_standin"}'
    program = [sys.executable, NODES / 'cycles.py', ROUNDS, *arguments]
    process = graph.start_program(*map(str, program), env=env)
    graph.wait(lambda: process.poll() is not None, 'the end', 400)
    assert process.returncode == 0, process.log.read_text()
    lines = process.log.read_text().splitlines()
    first, last = (float(line) for line in lines if line.replace('.', '').isdigit())
    assert last - first < GROWTH
