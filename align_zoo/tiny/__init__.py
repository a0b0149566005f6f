"""align_tiny: the small real ALIGN model in the package, and the code that trains it."""
