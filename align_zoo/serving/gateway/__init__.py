"""Between callers and tritonserver: who may come in, how many at once, and the truth about it."""
