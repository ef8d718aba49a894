"""Benchmarks: netspec beside other ways to do the same job. `python -m benchmarks` runs them."""
