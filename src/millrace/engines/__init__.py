"""How a graph runs: one face, `function`; an interpreter in NumPy; a compiler through XLA."""

from millrace.engines.allocator import tune

tune()  # before the first large array: the first weights of AlexNet took half as long to draw, 4 s for 9
