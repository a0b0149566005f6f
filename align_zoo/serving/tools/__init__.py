"""The demonstration and the measurement of a running server."""
