"""Answers to rows of BigBench tasks from their text alone; none knows how generated rows are made."""
