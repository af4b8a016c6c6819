"""Write a run's model as a folder for transformers: `python -m hir export run=PATH to=DIR [key=value ...]`.

  run=PATH         run folder or checkpoint; of a run that has not ended, its last finished iteration
  to=DIR           a new folder, or an empty one
  merge=true       a run with LoRA: its adapters merged into the weights; false: the adapters alone, for peft
  dtype=float32    or bfloat16: half the size, and answers may differ
  license=ID       what the card names (apache-2.0, mit, ...); default: the base's where known, else unknown
  lm_eval=true     also lm_eval/: the test rows as a task of lm-evaluation-harness; default: false

DIR gets weights (safetensors), config.json, generation_config.json, the tokenizer, chat_template.jinja
(instruction and prompt), README.md (model card with usage) and hir_config.yaml (repeats the run). It is
written whole or not at all. Exit code: 0; 2 for a mistake in the arguments, 130 if interrupted.
"""

from __future__ import annotations

import sys

from hir.errors import UserError
from hir.tools.export.arguments import parse_arguments


def main(argv: list[str]) -> int:
    if "-h" in argv or "--help" in argv:
        print(__doc__)
        return 0
    try:
        arguments = parse_arguments(argv)
        from hir.tools.export.folder import export  # imports torch

        export(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
