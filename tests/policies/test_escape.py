import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hir.policies.escape import TextEscape
from hir.policies.seq2seq import Seq2SeqPolicy


def t5_like_tokenizer() -> PreTrainedTokenizerFast:
    """Unigram over single characters, as T5's in what matters: no <, {, } and nothing outside ASCII."""
    known = "▁abcdefghijklmnopqrstuvwxyzABCQ0123456789&#;:.,>()"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((character, -1.0) for character in known)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


ESCAPED = [
    ("known text, (A) 1 > 0; #3 & B.", "known text, (A) 1 > 0; #3 & B."),
    ("a < b", "a &lt; b"),
    ("{x}", "&#123;x&#125;"),
    ("caf\u00e9", "caf&eacute;"),
    ("\U0001f600", "&#128512;"),
    ("it\x92s", "it&#146;s"),  # html.unescape alone would read a curly quote
    ("a&gt;b &amp; &no; &#62;", "a&gt;b &amp; &no; &#62;"),  # entities of what is known are left alone
    ("&amp;lt; &#55296; &#9999999;", "&amp;lt; &#55296; &#9999999;"),
    ("line\n\tnext", "line\n\tnext"),  # white space is the tokenizer's
]


@pytest.mark.parametrize(("text", "escaped"), ESCAPED)
def test_escape_and_back(text: str, escaped: str) -> None:
    escape = TextEscape(t5_like_tokenizer())
    assert escape.escape(text) == escaped
    assert escape.unescape(escaped) == text


def test_escaped_text_survives_the_tokenizer(tiny_t5) -> None:
    policy = Seq2SeqPolicy(tiny_t5, t5_like_tokenizer())
    text = "if a < b: {c} &gt; \U0001f600."
    ids = policy.encode_answer(text)
    assert 2 not in ids  # no unknown token
    assert policy.decode(ids) == text
