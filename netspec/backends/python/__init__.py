"""A graph in, readable PyTorch source out. `python.to_python` is the entry."""
