"""One table, three ways to read it: Markdown, a terminal, HTML (whose test in a browser is test_html.py)."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import made_up
from conftest import ROOT, Command

from bench.command.parse import parse
from bench.command.tables import TABLES
from bench.report.documents import readme
from bench.report.page import Cell, Page, Part, Section, Table, cells, grid
from bench.report.render import markdown, terminal
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth, complexity
from bench.studies.variant import PAPER, Variant
from models.arch import parse_arch

MEASURED = ROOT / "tables" / "measured"

ESCAPE = "\x1b["


def in_a_terminal(words: list[str], **environment: str) -> str:
    """What a process prints where standard output is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    terminal = {"TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdout=theirs, env={**clean, **terminal, **environment})
    os.close(theirs)
    said = b""
    while True:
        try:
            some = os.read(ours, 1 << 16)
        except OSError:  # the end of a terminal, on Linux
            break
        if not some:
            break
        said += some
    os.close(ours)
    assert process.wait(60) == 0
    return said.decode()


TABLE = f"""
from pathlib import Path
from bench.report.tables import complexity
print(complexity.render_terminal(complexity.load(Path({str(ROOT)!r}, "tables/measured/complexity.json"))))
"""
ALONE = [sys.executable, "-c", TABLE]


def test_a_terminal_gets_colour_and_a_pipe_plain_text(command: Command) -> None:
    report = ("--table", "complexity", "--report")
    plain, coloured = command(*report).stdout, in_a_terminal(command.arguments(*report))
    assert ESCAPE not in plain
    assert f"{ESCAPE}32mmatch" in coloured
    assert f"{ESCAPE}31mdiffers" in coloured
    rows = [line for line in plain.splitlines() if line.startswith("ResNet-152 B ")]
    assert [line.split()[1:] for line in rows] == [["B", "60,192,808", "11,282,415,616", "11.3e9", "match", "agrees"]]


def test_no_color_is_respected() -> None:
    assert f"{ESCAPE}32m" in in_a_terminal(ALONE)
    assert f"{ESCAPE}32m" not in in_a_terminal(ALONE, NO_COLOR="1")


def test_a_narrow_terminal_breaks_words_and_no_numbers() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", in_a_terminal(ALONE, COLUMNS="40"))
    assert "138,357,544" in shown
    assert "15,470,264,320" in shown
    assert "…" not in shown


def test_words_without_a_colour_are_dim_and_all_are_printed() -> None:
    table = Table(["net", "verdict"], [cells("a", Cell("some new word", "some new word"))])
    assert terminal.render(table).splitlines()[-1].split() == ["a", "some", "new", "word"]


def test_footnotes_follow_the_table_that_has_them() -> None:
    first = Table(
        ["net", "verdict"], [cells("a", Cell("differs", note="why")), cells("b", Cell("differs", note="why"))]
    )
    second = Table(["net", "verdict"], [cells("c", Cell("differs", note="why")), cells("d", Cell("x", note="other"))])
    text = markdown.render(
        Page("name", "Title", [first, "", "Words.", second, Section("More", [grid([["1"]], ["n"])])])
    )
    blocks = text.split("\n\n")
    assert blocks[1] == "# Title"
    assert blocks[2].count("differs[^1]") == 2
    assert blocks[3:5] == ["[^1]: why", "Words."]
    assert "differs[^1]" in blocks[5]
    assert blocks[6:8] == ["[^2]: other", "**More**"]


def test_the_manifest_of_a_count_says_how_and_by_what() -> None:
    counts = complexity.load(MEASURED / "complexity.json")
    page = complexity.page(counts, {"commit": "0123456789", "fvcore": "0.1.5"})
    cell = next(
        cell for table in page.tables for row in table.rows if row[0].text == "ResNet-56 A" for cell in row[1:2]
    )
    assert cell.manifest
    text = " ".join(part for part in cell.manifest.parts() if isinstance(part, str))
    assert "125,485,056 multiply-adds of convolutions and 640 of fully connected layers" in text
    assert "one image of 32x32" in text
    assert "commit 0123456789, fvcore 0.1.5" in text


def whole(parts: Sequence[Part]) -> str:
    return markdown.render(Page("manifest", "Manifest", parts))


def test_the_manifest_of_runs_says_all_that_the_records_hold(tmp_path: Path) -> None:
    patch = "diff --git a/models/blocks.py b/models/blocks.py\n+ ```not the end```"
    facts = {
        "code": {"commit": "c" * 40, "patch": patch},
        "slurm": {"job_id": "77", "array_job_id": "70", "array_task_id": "5"},
        "execution": "eager",
        "restarts": 2,
    }
    arch = parse_arch("resnet-20-A")
    variant = Variant("short", "cifar10", "all", (("bn_group", "64"),))
    made = [made_up.run(tmp_path, variant.spec(arch, seed), 9.5 + seed, facts if seed else None) for seed in range(3)]
    table = next(cifar_depth.page(Found({run.spec.run_id: run for run in made}, ()), variant).tables)
    row = next(row for row in table.rows if row[0].text == "ResNet-20")
    manifests = {cell.manifest for cell in row[4:]}
    (manifest,) = manifests  # one behind all cells of the row
    assert manifest
    text = whole(manifest.parts())
    for said in (
        "3 runs, seeds 0 to 2",
        *(run.spec.run_id for run in made),
        "10.50",
        "c" * 40,
        "cccccccccc + patch",
        "70_5",
        "no scheduler",
        "torch 2.12.1",
        "Batch norm is tested with moving averages",
        "````\ndiff --git",
    ):
        assert said in text, said
    command = "python bench/run.py --table cifar_depth --schedule short --set bn_group=64 --only resnet-20-A --seeds 3 --force"
    assert f"```sh\n{command} --execution eager\n```" in text
    options = parse(shlex.split(command)[2:])
    assert [spec.run_id for spec in TABLES["cifar_depth"].plan(options).specs] == [run.spec.run_id for run in made]


def test_records_are_read_once_and_anew_when_they_are_written_anew(tmp_path: Path) -> None:
    """A report asks for the same curves and provenance from many places, of ten thousand runs."""
    run = made_up.run(tmp_path, PAPER.spec(parse_arch("plain-20"), 0), 9.0)
    assert run.metrics is run.metrics
    assert run.provenance is run.provenance
    run.folder.write_metrics(run.metrics[:1])
    run.folder.note(restarts=7)
    assert len(run.metrics) == 1
    assert run.provenance["restarts"] == 7


def test_a_cell_without_runs_says_how_to_fill_it() -> None:
    short = Variant("short", "cifar10", "all")
    logs = {
        PAPER.spec(parse_arch("plain-56"), 1).run_id: "/some/log.txt",
        short.spec(parse_arch("plain-20"), 0).run_id: "/another/log.txt",
    }
    table = next(cifar_depth.page(Found({}, (), logs), PAPER).tables)
    texts = {row[0].text: whole(row[4].manifest.parts()) for row in table.rows if row[4].manifest}
    assert "`/some/log.txt`" in texts["plain-56"]
    assert "--only plain-20\n" in texts["plain-20"]
    assert "No run yet" in texts["plain-20"]


def test_the_papers_number_says_where_it_stands_and_what_others_report() -> None:
    table = next(cifar_depth.page(Found({}, ()), PAPER).tables)
    cell = next(row[2] for row in table.rows if row[0].text == "ResNet-56")
    assert cell.manifest
    text = whole(cell.manifest.parts())
    assert "Table 6, row ResNet-56: printed as `6.97`" in text
    assert "7.40 ± 0.27" in text
    assert "200 epochs instead of 164" in text


def test_the_first_table_shows_each_net_in_the_precision_with_most_seeds(tmp_path: Path) -> None:
    plain, residual, deeper = map(parse_arch, ("plain-20", "resnet-20-A", "resnet-32-A"))
    parts = Variant("paper", "cifar10", "val45k")
    made = [
        (PAPER, plain, 0, 9.5, "fp32"), (PAPER, plain, 1, 9.7, "fp32"), (PAPER, plain, 0, 8.0, "bf16"),
        (PAPER, residual, 0, 8.4, "bf16"), (parts, deeper, 0, 7.0, "fp32"), (readme.SHORT, residual, 0, 17.0, "fp32"),
    ]  # fmt: skip
    finished = {
        run.spec.run_id: run
        for v, arch, seed, error, precision in made
        for run in [made_up.run(tmp_path, v.spec(arch, seed, precision), error)]
    }
    text, held = readme.render(finished), "a difference and its interval"
    lines = {
        words[0]: [held if "[" in word else word for word in words]
        for line in text.splitlines()
        for words in [re.split(r" *\| *", line.strip("| "))]
    }
    assert lines["plain-20"] == ["plain-20", "9.68", "9.60 ± 0.14", "2", held, "match", "not measured"]
    assert lines["ResNet-20"] == ["ResNet-20", "8.75", "8.40 (bf16)", "1", held, *lines["ResNet-20"][5:6], "17.00", "1"]
    assert lines["ResNet-20"][5].startswith("consistent within ")
    assert lines["ResNet-32"][1:3] == ["7.51", "not measured"]
    assert "*plain-20: Fewer than three runs: seeds are taken to spread by" in text
    assert "*ResNet-20: Fewer than three runs: seeds are taken to spread by" in text
