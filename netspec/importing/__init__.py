"""From what others made to a spec: a PyTorch module is captured as a graph, and a graph is folded into a short text."""
