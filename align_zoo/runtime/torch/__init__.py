"""The towers in PyTorch: folded, and on a GPU captured."""
