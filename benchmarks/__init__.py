"""How fast, beside what else: run by `make bench`."""
