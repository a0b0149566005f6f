"""A page for people, and the search in a collection over HTTP."""
