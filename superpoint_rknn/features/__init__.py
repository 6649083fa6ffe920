"""Camera image to model input, outputs to keypoints and descriptors; NumPy and OpenCV only."""

CELL = 8  # [px] side of the square of the model input that one element of the outputs describes
