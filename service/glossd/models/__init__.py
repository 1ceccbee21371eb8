"""Checkpoints to tensors: loading, tokenizer, cache and one lean decoder per family shape."""
