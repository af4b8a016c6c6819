"""Samplers, one file each: prompts in, answers out, as tokens."""
