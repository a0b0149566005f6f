"""Keeping a tritonserver answering: starting, watching, replacing and ending it."""
