"""Zero-shot accuracy and retrieval on a user's own pictures: ``align-zoo evaluate``."""
