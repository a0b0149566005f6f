"""Zero-shot classification and composed queries."""
