"""align_emoji: a small real ALIGN model of emoji in the package, and the code that trains it."""
