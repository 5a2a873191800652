"""How a graph runs: one face, `function`; an interpreter in NumPy; a compiler through XLA."""

from millrace.engines.allocator import tune

tune()  # before the first large array: the first weights of AlexNet take 4 s to draw, 9 s with glibc's own settings
