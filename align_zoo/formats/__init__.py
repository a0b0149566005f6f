"""Checkpoints in Hugging Face's and timm's formats: saving and conversion."""
