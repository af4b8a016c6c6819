"""Exports a run's model as a folder that transformers loads, with its prompt, its card and its test rows."""
