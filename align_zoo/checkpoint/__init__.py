"""A checkpoint: a folder on disk in Hugging Face's ALIGN format."""
