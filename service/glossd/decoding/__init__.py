"""Rules on logits, greedy and beam search. Knows tensors, no model."""
