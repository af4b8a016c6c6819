"""How diverse texts are."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

MOST = 1000


def n_grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    """The runs of n words of a text, without case, and how often each stands in it."""
    words = text.casefold().split()
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams by n-grams (Li et al. 2016, arXiv 1510.03055)."""
    counts = sum((n_grams(text, n) for text in texts), Counter[tuple[str, ...]]())
    return len(counts) / max(1, counts.total())


def vendi_score(texts: Sequence[str]) -> float:
    """How many wholly different texts are as diverse as these (Friedman and Dieng 2023, arXiv 2210.02410).

    exp of the entropy of the eigenvalues of K / n, where K is the cosine of the counts of words and pairs of
    words; of the first 1,000 texts.
    """
    grams = [n_grams(text, 1) + n_grams(text, 2) for text in texts[:MOST]]
    columns = {gram: place for place, gram in enumerate(dict.fromkeys(chain(*grams)))}
    counts = np.zeros((len(grams), len(columns)))
    for row, of_text in zip(counts, grams, strict=True):
        row[[columns[gram] for gram in of_text]] = [*of_text.values()]
    counts /= np.linalg.norm(counts, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(counts @ counts.T / len(counts))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))
