"""Hostile images and strings: through the decode function, and through a real server."""
