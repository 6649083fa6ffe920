"""The ROS nodes. Raises ImportError with the remedy if NumPy or OpenCV can't be imported."""

from superpoint_rknn.dependencies import import_problem

if _problem := import_problem():
    raise ImportError(_problem, name=__name__)  # by the name, `python -m` prints one line
