"""Convert images to model inputs, outputs to keypoints and descriptors; NumPy and OpenCV only."""

CELL = 8  # [px] one cell of the outputs covers CELL x CELL pixels of the model input
