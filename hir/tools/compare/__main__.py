"""Compare methods and settings over tasks and seeds, each run made by train.py:

  python -m hir compare tasks=object_counting,word_sorting methods=hir,farl seeds=5 out=DIR [key=value ...]

  tasks=A,B       tasks (default: object_counting)
  methods=A,B     methods (default: hir)
  seeds=5         seeds 1 to 5 (the default); seeds=3,7,9 these, and seeds=7, seed 7 alone
  out=DIR         folder of all runs and of the results; what is finished in it is not run again
  key=value       any key of train.py (python train.py --help), for every run; method.alpha=0,0.1,1 compares
                  values, and several such keys all combinations. A list, a mapping (trainer.*) and a text
                  with a blank after its comma are one value
  variants=FILE   YAML that names settings to compare, several keys each if need be:
                    default: {}
                    no contrast: {method.alpha: 0}
  reach=0.9       validation accuracy whose first crossing is reported
  jobs=N          runs at once; default: one a GPU, which then has that GPU alone, else one a core. A run has
                  cores / N threads (OMP_NUM_THREADS, unless it is set): its numbers depend on N through
                  floating-point sums over threads alone, its seconds also through what else runs
  commands=true   run nothing: print the command of each unfinished run, for a scheduler; run them from this
                  folder, and the same arguments without this one collect the results

Writes results.md, results.json and accuracy_TASK.png into DIR; a run lies in DIR/TASK/METHOD/[SETTINGS/]seedN
and its output in seedN.log beside it. Broken off, the same command goes on. Exit code: 0; 1 if a run failed,
2 for a mistake in the arguments, 130 if interrupted.
"""

from __future__ import annotations

import sys

from hir.tools.compare.grid import Comparison, budget_warnings, parse_arguments
from hir.tools.compare.program import claimed, exit_code, interrupt_on_signals, open_console


def compare(comparison: Comparison) -> int:
    """Run what is unfinished and write the results; returns the exit code.

    Raises:
        UserError: a cell's folder holds another run, this machine cannot run the cells, another process
            does, or the folder cannot be written.
    """
    from hir.tools.compare.report import State, run_shown, write_results
    from hir.tools.compare.runner import check_machine, command, is_finished, stuck

    for line in budget_warnings(comparison.cells):
        print(f"warning: {line}", file=sys.stderr)
    if comparison.commands:
        for cell in [cell for cell in comparison.cells if not is_finished(cell)]:
            if reason := stuck(cell):
                print(f"warning: {reason}", file=sys.stderr)
            else:
                print(command(cell))
        return 0
    check_machine(comparison.cells, comparison.jobs)
    state, console = State(comparison), open_console()
    with claimed(comparison.out):
        todo = [cell for cell in comparison.cells if not is_finished(cell)]
        for cell in comparison.cells:
            if cell not in todo:
                state.read(cell)
        if todo:
            run_shown(state, todo, console)
        else:
            console.print("nothing left to do")
        files = write_results(state)
    console.print(state)
    console.print(f"written to {comparison.out}: {' '.join(files)}", markup=False)
    if state.failed:
        number = f"{len(state.failed)} of {len(comparison.cells)}"
        print(f"error: {number} runs failed; the same command tries them again", file=sys.stderr)
    return 1 if state.failed else 0


def main(argv: list[str]) -> int:
    return exit_code(__doc__, argv, lambda: compare(parse_arguments(argv)))


if __name__ == "__main__":
    interrupt_on_signals()
    sys.exit(main(sys.argv[1:]))
