"""A module or graph in, a faster module for evaluation out. `optimize` is the entry."""
