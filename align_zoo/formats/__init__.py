"""A model in other formats: Hugging Face's folder, timm's folders."""
