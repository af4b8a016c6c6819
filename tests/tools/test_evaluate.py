"""python -m hir evaluate, but for what tests/test_train.py runs of it."""

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "arguments", ["run_dir=made", "resume=made", "run=made model=hub", "run=made --model.path=a"]
)
def test_a_model_is_named_by_run_alone(arguments: str, refused: Callable[..., None]) -> None:
    refused("evaluate takes run=PATH", "evaluate", *arguments.split())
