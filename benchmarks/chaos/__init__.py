"""Faults, overload and a soak against a running `align-zoo serve`, every answer compared."""
