"""The paper's relabeling: an answer is right or wrong, and each has its instruction."""

from dataclasses import dataclass

from hir.relabel.base import Relabel, register


@register("correctness")
class Correctness(Relabel):
    """p_correct for right answers, p_wrong for wrong ones; the contrast is the other, then any further."""

    @dataclass
    class Settings:
        """None."""
