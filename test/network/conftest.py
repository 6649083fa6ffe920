import sys
import types

import pytest


@pytest.fixture
def torch_names(monkeypatch):
    """Modules with the names of PyTorch, which the pickler looks up."""

    def named(module, name):
        return type(name, (), {'__module__': module})

    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
    for kind in ('FloatStorage', 'LongStorage', 'HalfStorage', 'BFloat16Storage'):
        setattr(torch, kind, named('torch', kind))
    utils._rebuild_tensor_v2 = named('torch._utils', '_rebuild_tensor_v2')
    monkeypatch.setitem(sys.modules, 'torch', torch)
    monkeypatch.setitem(sys.modules, 'torch._utils', utils)
    return torch
