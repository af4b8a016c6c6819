"""Compares methods over tasks, settings and seeds; `python -m hir compare --help` says how."""
