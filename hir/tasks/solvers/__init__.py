"""Solvers of the generated tasks, one file each: a row's answer from its text alone."""
