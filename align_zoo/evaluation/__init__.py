"""Zero-shot accuracy and retrieval on a user's own images: ``align-zoo evaluate``."""
