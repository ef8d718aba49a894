"""A graph in, pictures of it out. `picture.draw` is the entry."""
