"""The T5 family's own sampler and packed training: optional, found by name, imported by no other room."""
