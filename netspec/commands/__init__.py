"""The commands: each module `declare`s its options and `run`s with them, and returns the exit status."""
