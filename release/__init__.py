"""`make release`: everything up to the upload (docs/releasing.md)."""
