"""SuperPoint features on Rockchip NPUs for ROS 2."""

import pkgutil

__version__ = '0.1.0'

# The messages (superpoint_rknn.msg) are generated. In a source checkout or an
# editable install they live in another directory of the same name on sys.path.
__path__ = pkgutil.extend_path(__path__, __name__)
