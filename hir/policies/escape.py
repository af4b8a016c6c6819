"""TextEscape: characters that a tokenizer does not know, so that none of a prompt or an answer is lost."""

import html.entities
import re
import sys
from typing import Any


class TextEscape:
    """Writes characters that a tokenizer does not know as HTML entities, and reads them back.

    T5's vocabulary has no < { } \\ ^ ~ and no backtick: each would become one and the same unknown token. As
    ``&lt;`` they survive; a text that holds such an entity itself comes back with the character. White space
    is left to the tokenizer: T5 folds it into single spaces, as it did when FLAN-T5 was trained.
    """

    _ENTITY = re.compile(r"&(#[0-9]{1,7}|[A-Za-z0-9]+);")

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known = dict.fromkeys("&#;", True)

    def _knows(self, character: str) -> bool:
        if character not in self._known:
            unknown = self._tokenizer.unk_token_id
            self._known[character] = (
                character.isspace()
                or unknown is None
                or unknown not in self._tokenizer(character, add_special_tokens=False)["input_ids"]
            )
        return self._known[character]

    def escape(self, text: str) -> str:
        """The text with entities in place of unknown characters."""
        for character in sorted(set(text)):
            if not self._knows(character):
                name = html.entities.codepoint2name.get(ord(character), f"#{ord(character)}")
                text = text.replace(character, f"&{name};")
        return text

    def unescape(self, text: str) -> str:
        """The text with unknown characters in place of their entities; those of known ones are left."""
        return self._ENTITY.sub(self._character, text)

    def _character(self, match: re.Match[str]) -> str:
        name = match[1]
        code = int(name[1:]) if name[0] == "#" else html.entities.name2codepoint.get(name, -1)
        is_text = 0 <= code <= sys.maxunicode and not 0xD800 <= code <= 0xDFFF  # half a surrogate pair
        return chr(code) if is_text and not self._knows(chr(code)) else match[0]
