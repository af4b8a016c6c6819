from __future__ import annotations
import re
from dataclasses import dataclass
from hir.feedback.base import register
from hir.records import Verdict

W = re.compile(r"[^\W\d_]+")


def check(c, output):
    a = dict(c.arguments)
    words = [w.lower() for w in W.findall(output)]
    raw = W.findall(output)
    if not words:
        return False
    k = c.kind[6:]
    rel = lambda n, r, m: n == m if r == "exactly" else n >= m if r == "at least" else n <= m
    if k == "count":
        return rel(len(words), a["relation"], a["number"])
    if k == "first":
        return words[0] == a["word"]
    if k == "last":
        return words[-1] == a["word"]
    if k == "include":
        return a["word"] in words
    if k == "avoid":
        return a["word"] not in words
    if k == "case":
        return all(getattr(w, "is" + a["case"])() for w in raw)
    if k == "separator":
        return (
            len([p for p in output.split(a["separator"])]) == len(words)
            if a["separator"] != " and "
            else output.strip("!.?").lower().split(" and ") == [w for w in words if w != "and"]
        )
    if k == "sorted":
        return words == sorted(words, reverse=a["order"] == "descending")
    if k == "distinct":
        return len(set(words)) == len(words)
    if k == "repeat":
        return words[0] == words[-1] and len(words) > 1
    if k == "length":
        return all(rel(len(w), a["relation"], a["number"]) for w in words)
    if k == "letter":
        return all(a["letter"] in w for w in words)
    if k == "no_letter":
        return a["letter"] not in "".join(words)
    if k == "start":
        return all(w[0] == a["letter"] for w in words)
    if k == "end":
        return output.strip().endswith(a["mark"])
    raise KeyError(k)


@register("constraints")
class Constraints:
    graded = True
    @dataclass
    class Settings:
        pass

    def __init__(self, config=None, own=None):
        pass

    def __call__(self, rows, outputs):
        res = []
        for r, o in zip(rows, outputs):
            met = tuple(check(c, o) for c in r.constraints)
            res.append(Verdict(all(met), sum(met) / len(met), met))
        return res

    def about(self, rows):
        return "constraints"
