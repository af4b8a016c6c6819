"""The prompt as a chat template, which travels with the tokenizer.

T5 has none of its own, and transformers 5 reads neither ``prefix`` nor ``task_specific_params`` of a T5's
config any more. A chat template is read by AutoTokenizer and applied by ``apply_chat_template``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from hir.policies.escape import TextEscape
from hir.policies.seq2seq import render_prompt

PRINTABLE_ASCII = "".join(map(chr, range(33, 127)))


def entities(escape: TextEscape, texts: Iterable[str]) -> dict[str, str]:
    """How the characters of ASCII and of the texts travel that the tokenizer does not know."""
    characters = sorted({*PRINTABLE_ASCII, *(c for text in texts for c in set(text))})
    return {c: written for c in characters if (written := escape.escape(c)) != c}


def chat_template(instruction: str, written: dict[str, str]) -> str:
    """A Jinja template: the last user message as the query; a system message replaces the instruction.

    It ends with the end token, which the encoder was trained with and apply_chat_template does not add.

    Args:
        instruction: p_correct.
        written: entity by character, as ``entities`` gives them.
    """
    # The prompt of hir.relabel.correctness, taken apart at marks that stand for what the template fills in.
    head, middle, tail = render_prompt("\0", "\1").partition("\0")[2].partition("\1")
    assert middle == "\1"
    prompt = f"(asked.instruction ~ {_literal(head)} ~ asked.query ~ {_literal(tail)})"
    for entity in written.values():  # text that holds an entity of its own
        prompt += f"\n    | replace({_literal(entity)}, {_literal('&amp;' + entity[1:])})"
    for character, entity in written.items():
        prompt += f"\n    | replace({_literal(character)}, {_literal(entity)})"
    return (
        f"{{%- set asked = namespace(instruction={_literal(instruction)}, query='') -%}}\n"
        "{%- for message in messages -%}\n"
        "{%- if message['role'] == 'system' -%}{%- set asked.instruction = message['content'] -%}\n"
        "{%- elif message['role'] == 'user' -%}{%- set asked.query = message['content'] -%}\n"
        "{%- endif -%}\n"
        "{%- endfor -%}\n"
        f"{{{{- ({prompt}) ~ eos_token -}}}}\n"
    )


def _literal(text: str) -> str:
    """A string as Jinja writes one."""
    return json.dumps(text, ensure_ascii=False)
