"""The towers in PyTorch, with folded BatchNorm, and captured on a GPU."""
