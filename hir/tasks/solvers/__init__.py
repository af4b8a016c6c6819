"""Solvers, one file each: the answer to a row from its text alone, for checks of the generated tasks."""
