"""
SuperPoint features on Rockchip NPUs for ROS 2.

The Python API: `from superpoint_rknn import Extractor, open_runtime, FrontEnd`. Each name is
imported when it is first used, so that importing the package needs neither rclpy nor onnxruntime.
`__version__` is the version in package.xml.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superpoint_rknn.extractor import Extractor
    from superpoint_rknn.nodes.front_end import FrontEnd
    from superpoint_rknn.runtimes.open import open_runtime

    __version__: str

__all__ = ['Extractor', 'FrontEnd', 'open_runtime']

# The messages (superpoint_rknn.msg) are generated. In a source checkout or an
# editable install they live in another directory of the same name on sys.path.
__path__ = pkgutil.extend_path(__path__, __name__)

_MODULES = {
    'Extractor': 'superpoint_rknn.extractor',
    'FrontEnd': 'superpoint_rknn.nodes.front_end',
    'open_runtime': 'superpoint_rknn.runtimes.open',
}


def __getattr__(name: str) -> Any:
    """Import a name of the API, or read the version, when it is used."""
    if name == '__version__':
        return _read_version()
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_MODULES[name]), name)


def _read_version() -> str:
    """Read the version from package.xml; raise FileNotFoundError or ValueError without one."""
    import xml.etree.ElementTree as ET

    from superpoint_rknn.files import find_shared_file

    path = find_shared_file('package.xml')
    version = ET.parse(path).findtext('version')
    if version is None:
        raise ValueError(f'{path}: no <version>: install superpoint_rknn again')
    return version
