"""Faults, overload and a soak of a running `align-zoo serve`; every answer is compared."""
