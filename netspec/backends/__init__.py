"""Readers of the graph: each makes one artefact, and none imports another's."""
