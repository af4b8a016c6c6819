"""A reward model as the judge: sequence classification of a prompt and an answer to it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hir.config.schema import check, limited
from hir.errors import UserError, reason
from hir.feedback.base import Feedback, check_failures, register, unjudged
from hir.records import Example, Verdict


@register("reward_model")
class RewardModel:
    """Feedback by a trained classifier, on the run's GPU if there is one, in float32 wherever it is asked."""

    @dataclass
    class Settings:
        model: str = ""
        """Folder made by save_pretrained or name on the hub, of a sequence classifier."""
        revision: str | None = None
        """Commit or tag on the hub; null: its default branch."""
        label: str | None = None
        """The label that a good answer has; null with the one label of a reward model."""
        threshold: float = limited(0.5, "(0, 1]")
        """Least score that is right."""
        max_tokens: int = limited(512, "[1, inf)")
        """Longest prompt with its answer; of longer ones the end of the longer part is cut."""
        batch_size: int = limited(32, "[1, inf)")
        """Answers a forward pass."""

    graded = True

    def __init__(self, settings: Settings, own: Feedback) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer  # which takes seconds

        self.settings, path = settings, settings.model
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        check(bool(path), "feedback.model", "a folder or a name on the hub", path)
        self.name = f"feedback.model={path}"
        options: dict[str, Any] = {"trust_remote_code": False, "revision": settings.revision or "main"}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path, **options)
            self.model, info = AutoModelForSequenceClassification.from_pretrained(
                path, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
            )
        except Exception as error:  # a damaged folder makes its readers fail in any way
            raise UserError(f"{self.name} cannot be loaded, from here or the hub: {reason(error)}") from error
        if missing := sorted(info["missing_keys"]):
            raise UserError(f"{self.name}: no whole sequence classifier, it lacks {missing[0]}")
        words = self.tokenizer.get_vocab().keys() - self.tokenizer.get_added_vocab().keys()
        # transformers makes one up where it finds no file.
        if words <= {"\u2581"} or len(self.tokenizer) > self.model.get_input_embeddings().num_embeddings:
            raise UserError(f"{self.name}: no tokenizer there that fits the model")
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token  # decoders have none
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model.eval()
        labels = self.model.config.id2label
        places = [i for i in labels if settings.label in (None, labels[i])]
        check(len(places) == 1, "feedback.label", f"one of {', '.join(labels.values())}", settings.label)
        self.place = places[0]

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        scores = [*self._scores([(row.asked, text) for row, text in zip(rows, outputs, strict=True)])]
        least = self.settings.threshold
        verdicts = [unjudged("no number") if math.isnan(s) else Verdict(s >= least, s) for s in scores]
        return check_failures(verdicts, self.name)

    @torch.inference_mode()
    def _scores(self, pairs: Sequence[tuple[str, str]]) -> Iterator[float]:
        self.model.to(self.device)  # now, when the process has chosen its GPU
        longest = min(self.settings.max_tokens, self.tokenizer.model_max_length)
        for start in range(0, len(pairs), self.settings.batch_size):
            prompts, outputs = map(list, zip(*pairs[start : start + self.settings.batch_size], strict=True))
            inputs = self.tokenizer(
                prompts, outputs, padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
            with torch.autocast(self.device.type, enabled=False):  # evaluation's would differ from sampling
                logits = self.model(**inputs.to(self.device)).logits
            # One label is a reward; several exclude each other.
            scores = logits.softmax(-1) if logits.shape[1] > 1 else logits.sigmoid()
            yield from scores[:, self.place].tolist()
