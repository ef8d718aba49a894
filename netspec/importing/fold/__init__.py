"""A graph in, the text of a short spec out. `fold.fold` is the entry."""
