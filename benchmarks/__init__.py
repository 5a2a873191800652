"""Benchmarks: Millrace beside what people use, as live processes that take turns.  Run them with `make bench`."""
