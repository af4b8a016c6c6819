"""python -m hir report: one or several runs as one self-contained HTML page."""
