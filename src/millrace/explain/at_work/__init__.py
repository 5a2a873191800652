"""Everything that has a page, at work on something real: a photograph, a digit, a sequence, a small problem."""
