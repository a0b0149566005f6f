"""Contrastive training: from an ALIGN folder and captioned images to another ALIGN folder."""
