"""Adapters: ALIGN by the public API of other libraries, one module a library.

Each module imports its library, so import only the module that you use. docs/integrations.md
shows how each one starts.
"""
