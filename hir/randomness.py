"""Randomness is a function: every generator is seeded by (seed, iteration, rank, purpose).

So a run resumed at an iteration's end equals the uninterrupted run, with no generator state to save.
"""

import hashlib
import random


def derive_seed(seed: int, iteration: int, rank: int, purpose: str) -> int:
    """A 63-bit seed for one purpose in one iteration on one rank."""
    digest = hashlib.sha256(f"{seed}/{iteration}/{rank}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, iteration: int, rank: int, purpose: str) -> random.Random:
    """Python's random generator for that purpose."""
    return random.Random(derive_seed(seed, iteration, rank, purpose))
