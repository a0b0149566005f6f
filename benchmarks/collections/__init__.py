"""Experiments about collections."""
