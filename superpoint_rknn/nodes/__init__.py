"""The ROS nodes. Raises ImportError with the remedy if NumPy or OpenCV can't be imported."""

import sys

from superpoint_rknn.dependencies import import_problem
from superpoint_rknn.nodes.common.interruption import exit_on_signals

if any(argument.startswith('superpoint_rknn.nodes.') for argument in sys.orig_argv):
    exit_on_signals()  # `python -m superpoint_rknn.nodes...`: no traceback during the imports
if _problem := import_problem():
    raise ImportError(_problem, name=__name__)  # by the name, `python -m` prints one line
