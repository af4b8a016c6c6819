"""Runs a W&B sweep file without a server; `python -m hir sweep --help` says how."""
