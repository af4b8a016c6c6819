"""HTML and SVG as text in which every piece of data is escaped, since only Html counts as markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = ("br", "input", "meta")


class Html(str):
    """Markup. Any other text that is put into an element is escaped."""


Child = str | None | Iterable["Child"]


def join(*children: Child) -> Html:
    """The children one after another, nested lists flattened, None left out."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(Html(escape(child)))
        elif child is not None:
            parts.append(join(*child))
    return Html("".join(parts))


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element; ``class_`` stands for class, ``aria_label`` for aria-label.

    An attribute that is True has no value; one that is None or False is left out.
    """
    text = ""
    for key, value in attributes.items():
        if value is True:
            text += f" {key.replace('_', '-')}"
        elif value is not None and value is not False:
            shown = f"{value:g}" if isinstance(value, float) else escape(str(value))
            text += f' {key.rstrip("_").replace("_", "-")}="{shown}"'
    if name in VOID:
        return Html(f"<{name}{text}>")
    return Html(f"<{name}{text}>{join(*children)}</{name}>")


def table(head: Iterable[Child], rows: Iterable[Iterable[Child]], caption: str, class_: str = "") -> Html:
    """A table that scrolls sideways by itself; the first cell of a row is its header.

    A cell that is markup of a td or th stays as it is.
    """

    def cell(name: str, content: Child, **attributes: str) -> Html:
        if isinstance(content, Html) and content.startswith(("<td", "<th")):
            return content
        return element(name, content, **attributes)

    body = [
        element(
            "tr",
            [cell("td", part) if place else cell("th", part, scope="row") for place, part in enumerate(row)],
        )
        for row in rows
    ]
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", [cell("th", part, scope="col") for part in head])),
        element("tbody", body),
        class_=class_ or None,
    )
    return element("div", content, class_="scroll", role="region", aria_label=caption, tabindex="0")


def clip(text: str, length: int) -> str:
    """The text on one line, cut in its middle where it is longer: a question often stands at the end."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length // 2]} … {text[-length // 3 :]}"


def number(value: float | None) -> str:
    """An accuracy, or a dash where it is not known."""
    return "–" if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """A time in words, or a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
