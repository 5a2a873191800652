"""Showing what was learned: drawings, charts, and the report of a run."""
