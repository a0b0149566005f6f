"""Contrastive training: from an ALIGN folder and captioned pictures to another ALIGN folder."""
