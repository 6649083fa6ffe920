from torch_writer import torch_names  # noqa: F401  (a fixture)
