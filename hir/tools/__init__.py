"""What is done with runs: python -m hir VERB."""
