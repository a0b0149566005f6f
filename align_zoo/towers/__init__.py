"""The towers as timm models, and both of them as one model."""

# Before any module here: importing timm registers the towers (the hook in align_zoo/__init__.py),
# which then must not meet one of these modules half imported.
import timm  # noqa: F401
