"""A document's road from text to answer, and the hub of loaded models."""
