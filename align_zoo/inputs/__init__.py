"""From bytes and strings to tensors."""
