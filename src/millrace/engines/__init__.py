"""How a graph runs: one face, `function`; an interpreter in NumPy; a compiler through XLA."""
