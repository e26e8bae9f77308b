"""A run resumed from each of its checkpoints in turn, one a step: `python -m tests.chaos.resumes`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from museg.runs.directory import RunDirectory
from tests.chaos.material import prepare
from tests.chaos.record import Record
from tests.chaos.stops import StoppedRun, overrides_of, undisturbed


def as_it_was(source: RunDirectory, run: RunDirectory, step: int) -> None:
    """A copy of a finished run without its checkpoints after a step. What else is on record beyond stays there."""
    shutil.copytree(source.path, run.path, symlinks=True)
    config = run.config_file.read_text()
    run.config_file.write_text(config.replace(f"name: {source.path.name}\n", f"name: {run.path.name}\n"))
    run.summary_file.unlink()
    run.report_file.unlink()
    for later in run.checkpoint_steps():
        if later > step:
            shutil.rmtree(run.checkpoint(later))


def steps_done_again(source: RunDirectory, run: RunDirectory) -> list[int]:
    """By the times of their files, which copying keeps."""
    times = {step: source.rollouts_file(step).stat().st_mtime_ns for step in source.rollout_steps()}
    return [step for step in run.rollout_steps() if run.rollouts_file(step).stat().st_mtime_ns != times[step]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--root", type=Path, default=Path("cache/chaos/resumes"), help="folder for data, model and runs (%(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    material = prepare(args.root.absolute())
    shutil.rmtree(material.runs, ignore_errors=True)
    shape = [f"grpo.steps={args.steps}", "checkpoint.every_steps=1", f"checkpoint.keep={args.steps}"]
    overrides = [*overrides_of(material), *shape, *args.overrides]
    record, _, _ = undisturbed(material, overrides)
    whole, failures = RunDirectory(material.runs / "undisturbed"), 0
    for step in range(1, args.steps):
        run = StoppedRun(material=material, name=f"from-{step}", overrides=overrides)
        as_it_was(whole, run.directory, step)
        [end] = run.complete([])
        wrong = [f"exit {end.code}: {end.said}"] if end.code else list(Record.of(run.directory).differences(record))
        if not end.code and (done := steps_done_again(whole, run.directory)) != [*range(step + 1, args.steps + 1)]:
            wrong.append(f"steps {done} were done again")
        failures += bool(wrong)
        print(f"resumed from step {step}: {'; '.join(wrong) or 'the same bits'}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
