"""The language: types, values, operations, graphs, and what is said and done with them as text."""
