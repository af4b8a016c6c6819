"""Silences what libraries say about choices that the project makes on purpose, and their own bars."""

import logging
import warnings


def quiet_libraries() -> None:
    """Call once at the start of a program; errors still show."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for name in ("lightning.pytorch", "lightning.fabric", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",  # a worker would keep an old plan of rows
        ".*Found .* module.* in eval mode.*",  # the module's hook calls train()
        ".*GPU available but not used.*",  # the tiny model is too small for one
        ".*isinstance.treespec, LeafSpec.*",  # Lightning's own affair
        ".*gradient_checkpointing.*",  # its names before transformers 6, which peft asks by, too
        "Detected call of `lr_scheduler.step.*",  # an iteration with nothing to train on
        "Input and output embeddings are no longer tied.*",  # those of FLAN-T5 never were
    ):
        warnings.filterwarnings("ignore", message)
