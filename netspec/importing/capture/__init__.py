"""A module in, its graph out. `capture.capture` is the entry."""
