"""The ROS nodes. Raises ImportError with the remedy if NumPy, OpenCV or rclpy would fail."""

import sys

from superpoint_rknn.dependencies import import_problem
from superpoint_rknn.nodes.common.interruption import exit_on_signals
from superpoint_rknn.nodes.common.shared_memory import shared_memory_problem

if any(argument.startswith('superpoint_rknn.nodes.') for argument in sys.orig_argv):
    exit_on_signals()  # `python -m superpoint_rknn.nodes...`: no traceback during the imports
if _problem := import_problem() or shared_memory_problem():
    raise ImportError(_problem, name=__name__)  # by the name, `python -m` prints one line
