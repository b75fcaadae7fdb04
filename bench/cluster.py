"""The missing runs of a table as a Slurm job array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import job
from bench.errors import UserError
from bench.provenance import ROOT
from bench.spec import RunSpec

if TYPE_CHECKING:
    from bench.options import Options

MINUTES = 24 * 60
CPUS = 2


def send(specs: Sequence[RunSpec], options: Options) -> int:
    """Send one task for each run and say where they are. Returns 0; raises UserError where Slurm does not take them."""
    from slurm.array import NoSlurm, submit

    results, data = options.results.resolve(), options.data.resolve()
    calls = [(spec, results, data, options.download, options.force) for spec in specs]
    try:
        ids = submit(run, calls, results / "slurm", name="cifar_depth", root=ROOT, minutes=MINUTES, cpus=CPUS)
    except NoSlurm as error:
        raise UserError(f"--cluster slurm: {error}: use --cluster local, or mend that and give it again") from error
    for spec, job_id in zip(specs, ids, strict=True):
        print(f"{job_id:<12}  {spec.run_id}")
    print(f"sent {len(ids)} tasks; when they have ended, the same command with --report writes the table")
    return 0


def run(spec: RunSpec, results: Path, data: Path, download: bool, force: bool) -> str:
    """One task of the array. Returns the run's folder."""
    job.assert_own_modules()
    return str(job.run(spec, results, data, download, force))
