"""The card's section on use: code that answers as the run did, and what the model reads."""

from __future__ import annotations

import json

from hir.policies.seq2seq import render_prompt
from hir.tools.export.facts import Facts

CODE = """\
```python
{imports}

path = {name!r}  # this folder, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(path)
{load}


def answer(query: str) -> str:
    messages = [{{"role": "user", "content": query}}]
    inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
    text = tokenizer.decode(model.generate({arguments})[0], skip_special_tokens=True)
{unescape}    return text.strip()


print(answer({query!r})){comment}
```
"""
WHOLE = {
    "imports": "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
    "load": "model = AutoModelForSeq2SeqLM.from_pretrained(path)",
    "arguments": "**inputs",
}
ADAPTERS = {
    "imports": """\
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig""",
    "load": """\
base_path = {base_path!r}
base = AutoModelForSeq2SeqLM.from_pretrained(base_path, revision={revision!r}, dtype="{dtype}")
model = PeftModel.from_pretrained(base, path)
settings = GenerationConfig.from_pretrained(path)""",
    "arguments": "**inputs, generation_config=settings",
}
UNESCAPE = """\
    for character, entity in {entities!r}.items():
        text = text.replace(entity, character).replace("&amp;" + entity[1:], entity)
"""
PROMPT = """
The model reads the instruction and the query as one prompt, which `chat_template.jinja` writes, end token
included. (T5 has no template of its own; this is the one place that travels with the tokenizer.)

```
{prompt}
```

A system message takes the place of the instruction: {message} before the user's asks for a wrong answer."""
ENTITIES = """

The tokenizer does not know some characters, which travel as HTML entities: {pairs}.
The chat template writes them, and the code above reads them back. Any further character that the tokenizer
does not know is lost, unless it is written as `&#NUMBER;`."""


def usage(facts: Facts) -> str:
    """The section's text."""
    config, entities = facts.run.config, facts.entities
    query, output = next(((row["query"], row["output"]) for row in facts.run.answers), ("...", ""))
    message = json.dumps({"role": "system", "content": config.instructions.wrong}, ensure_ascii=False)
    parts = ADAPTERS if facts.adapters_only else WHOLE
    load = parts["load"].format(
        base_path=facts.base_path, revision=config.model.revision or "main", dtype=facts.dtype
    )
    text = CODE.format(
        imports=parts["imports"],
        load=load,
        arguments=parts["arguments"],
        name=facts.name,
        unescape=UNESCAPE.format(entities=entities) if entities else "",
        query=query,
        comment=f"  # the run's answer: {output!r}" if facts.test_accuracy is not None else "",
    )
    text += PROMPT.format(
        prompt=render_prompt(config.instructions.correct, "the query"), message=f"`{message}`"
    )
    if entities:
        text += ENTITIES.format(pairs=", ".join(f"`` {c} `` as `{e}`" for c, e in entities.items()))
    return text
