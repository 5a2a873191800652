"""Routines of Millrace's own in C, for what XLA's compiler for CPUs does slowly; optional, as XLA can do all of it."""
