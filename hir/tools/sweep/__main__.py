"""Run a W&B sweep file here, without a server; each run is made by train.py:

  python -m hir sweep conf/sweep/FILE.yaml count=8 [out=DIR] [jobs=N] [seed=N] [key=value ...]

  count=N         runs; a grid without it is run whole, and a file's run_cap stands in for it
  out=DIR         folder of all runs and of the results (default: outputs/sweep-FILE); what is finished in it
                  is not run again, and a larger count adds runs
  jobs=N          runs at once; default: one a GPU, or for each trainer.devices GPUs, else one a core
  seed=N          seed of the random draws (default: 1); the runs' own seed is a parameter of the file
  key=value       any key of train.py (python train.py --help), for every run: beats the file's parameter

method: random and grid are done as W&B does them; bayes is run as a random search. The file's logger and
early_terminate are left out: docs/sweeps.md says what else differs from `wandb sweep FILE`.

Writes results.md, results.json, sweep.png and best.yaml, which `python train.py config=DIR/best.yaml` takes,
into DIR; a run lies in DIR/runNNN and its output in runNNN.log beside it. Broken off, the same command goes
on. Exit code: 0; 1 if a run failed or none has the metric, 2 for a mistake in the arguments or the file,
130 if interrupted.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from hir.errors import UserError
from hir.tools.runs import claimed, open_console
from hir.tools.sweep.plan import Sweep, parse_arguments


def claim_folder(sweep: Sweep) -> None:
    """Write down what the folder holds.

    Raises:
        UserError: it holds the runs of another sweep.
    """
    from hir.files import atomic_write

    path = sweep.out / "sweep.json"
    if path.is_file():
        before = None
        with suppress(ValueError):
            before = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise UserError(f"{path} is damaged: choose another out")
        for key in sorted({*before, *sweep.identity}):
            if before.get(key) != sweep.identity.get(key):
                raise UserError(
                    f"{sweep.out} holds a sweep with other {key}: choose another out, or delete it"
                )
    else:
        atomic_write(path, (json.dumps(sweep.identity, indent=2, ensure_ascii=False) + "\n").encode())


def sweep_runs(sweep: Sweep) -> int:
    """Run what is unfinished and write the results; returns the exit code.

    Raises:
        UserError: the folder holds other runs, this machine cannot run these, another process does, or the
            folder cannot be written.
    """
    from hir.tools.runs import check_machine, is_finished
    from hir.tools.sweep.report import State, run_shown, write_results

    check_machine([run.cell for run in sweep.runs], sweep.jobs)
    state, console = State(sweep), open_console()
    with claimed(sweep.out):
        claim_folder(sweep)
        todo = [run for run in sweep.runs if not is_finished(run.cell)]
        for line in sweep.notes:
            console.print(f"note: {line}", markup=False, soft_wrap=True)
        for run in sweep.runs:
            if run not in todo:
                state.read(run.cell)
        if todo:
            run_shown(state, todo, console)
        else:
            console.print("nothing left to do")
        files = write_results(state)
    console.print(state.table())
    console.print(
        f"in the order of the last {sweep.metric.name}, to {sweep.metric.goal}", markup=False, soft_wrap=True
    )
    console.print(f"written to {sweep.out}: {' '.join(files)}", markup=False, soft_wrap=True)
    if state.failed:
        number = f"{len(state.failed)} of {len(sweep.runs)}"
        print(f"error: {number} runs failed; the same command tries them again", file=sys.stderr)
    elif not state.best():
        print(
            f"error: no run has a value of {sweep.metric.name}: its metrics.csv lists others", file=sys.stderr
        )
    return 1 if state.failed or not state.best() else 0


def main(argv: list[str]) -> int:
    if {"-h", "--help"} & {*argv}:
        print(__doc__)
        return 0
    return sweep_runs(parse_arguments(argv))
