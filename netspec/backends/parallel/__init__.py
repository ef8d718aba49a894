"""A network on several devices, on PyTorch's own engine: shards, split layers, pipeline stages, and their plan."""
