"""The command `doctor`: its table in the terminal, its JSON, and its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.files import as_typed, check_file, write_json

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.doctor.finding import Examination

STDOUT = Path("-")
COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


def doctor(options: Options) -> int:
    """Examine this machine, or a node of the cluster. Returns 1 where the default way to train fails; raises UserError."""
    from bench.doctor import examine, on_cluster
    from bench.doctor.finding import Question

    to = options.examining.json
    if to and to != STDOUT:
        check_file(to, "--json", exists=False)
    question = Question(as_typed(options.results), replace(options.source, folder=as_typed(options.data)))
    with _progress(shown=to != STDOUT) as tell:
        if options.cluster == "slurm":
            slurm = options.slurm
            found = on_cluster.send_and_wait(question, slurm.profile, slurm.overrides, tell)
        elif options.slurm.overrides:
            raise UserError("doctor: options of Slurm are for --cluster slurm: add that, or leave them out")
        else:
            found = examine.examine(question, tell)
    if to == STDOUT:
        print(json.dumps(examine.as_json(found), indent=1))
        return found.status
    _print(found)
    if to:
        write_json(to, examine.as_json(found))
        print(f"wrote {to}")
    return found.status


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[str], object]]:
    """Say what is looked at: on one line of a terminal that goes again; elsewhere nothing."""
    if not (shown and sys.stdout.isatty()):
        yield lambda text: None
        return
    from rich.console import Console

    with Console().status("looks at this machine") as status:
        yield lambda text: status.update(f"looks at {text}")


def _print(found: Examination) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=118)
    table = Table(title=f"{found.host}, {found.seconds:.0f} s", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for heading in ("", "check", "found and remedy", "s"):
        table.add_column(heading, justify="right" if heading == "s" else "left", no_wrap=heading in ("", "s"))
    section = ""
    for each in found.findings:
        if each.section != section:
            section = each.section
            table.add_row("", Text(section, style="bold"))
        text = Text(each.found)
        if each.remedy and each.verdict != "ok":
            text.append(f"\n{each.remedy}", style="cyan")
        seconds = "" if each.seconds is None else f"{each.seconds:.1f}"
        table.add_row(Text(each.verdict, style=COLOURS[each.verdict]), each.name, text, seconds)
    console.print(table)
    console.print(Text(summary(found), style="bold"))


def summary(found: Examination) -> str:
    """One sentence: whether runs with default options will work here."""
    failed = [each.name for each in found.findings if each.verdict == "fail"]
    needed = [each.name for each in found.findings if each.verdict == "fail" and each.needed]
    if needed:
        return f"Runs with default options fail, or lose speed, here: {', '.join(needed)}."
    if failed:
        return f"Runs with default options work here; not all else does: {', '.join(failed)}."
    return "Runs with default options work here."
