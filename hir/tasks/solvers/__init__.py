"""Solvers of the generated tasks: each reads the text of a row and works out its answer."""
