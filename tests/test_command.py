"""The command as a person types it: in a process of its own, from another folder, in folders with spaces."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Command

from bench import run
from bench.command.names import ALIASES
from bench.command.options import FIELDS, Options
from bench.command.parse import parse
from bench.command.subcommands import COMMANDS
from bench.command.tables import TABLES
from bench.errors import UserError
from bench.runs.folder import RunFolder

SMOKE = ("--table", "cifar_depth", "--schedule", "smoke")
SMALL = (*SMOKE, "--only", "resnet-8-A")
A_WHILE = (*SMOKE, "--only", "resnet-20-A", "--set", "iterations=160")


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a person's mistake, which must end with exit status 2 and print nothing else."""
    assert run.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


DEPTH = ("--table", "cifar_depth")
THERE = ("--results", str(ROOT))
"""A folder that is there."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--table is missing: choose from complexity, cifar_depth, imagenet_plain_vs_residual"),
        # tables
        (
            ("--table", "cifar-dept"),
            "--table cifar-dept: no such table; did you mean cifar_depth?; choose from complexity,",
        ),
        (("--table", "vgg"), "--table vgg: no such table; choose from complexity, cifar_depth"),
        (("--table", "tabel6"), "--table tabel6: no such table; did you mean table6?"),
        ((*DEPTH, "warmpu"), "--table warmpu: no such table; did you mean warmup?"),
        ((*DEPTH, "status"), "--table status: status is a command and comes first: run.py status --table NAME"),
        # commands and options
        (("stauts", *DEPTH), "stauts: unknown command; did you mean status?; choose from status, logs"),
        (("cifar_depth",), "cifar_depth is a table: give --table cifar_depth"),
        ((*DEPTH, "--dry-run", "status"), "status is a command and comes first: run.py status ..."),
        ((*DEPTH, "--dry-run", "now"), "now: no option takes this word: see --help"),
        (("--tabel", "cifar_depth"), "--tabel: unknown option; did you mean --table?"),
        ((*DEPTH, "--dry_run"), "--dry_run: unknown option; did you mean --dry-run?"),
        ((*DEPTH, "--xyz"), "--xyz: unknown option; see --help"),
        ((*DEPTH, "-x"), "-x: no option takes this word: see --help"),
        (("status", *DEPTH, "--pack", "2"), "--pack is no option of status: see run.py status --help"),
        (("status", *DEPTH, "--sedes", "2"), "--sedes: unknown option; did you mean --seeds?"),
        ((*DEPTH, "--seeds"), "--seeds: value is missing"),
        (("--table",), "--table: value is missing"),
        (("logs", *DEPTH), "logs: RUN is missing: see python bench/run.py logs --help"),
        (("export",), "export: FILE is missing: see python bench/run.py export --help"),
        (("import",), "import: FILE ... is missing: see python bench/run.py import --help"),
        # nets
        ((*DEPTH, "--only", "vgg*"), "--only vgg* matches no net of cifar_depth: it has plain-20, plain-32"),
        ((*DEPTH, "--only", "plain-21"), "--only plain-21: depth 21 is not 6n+2: try 20 or 26"),
        ((*DEPTH, "--only", "ResNet-21"), "--only ResNet-21: depth 21 is not 6n+2: try 20 or 26"),
        ((*DEPTH, "--only", "vgg-16"), "--only vgg-16 is no CIFAR net"),
        ((*DEPTH, "--only", "resent-56"), "--only resent-56 matches no net of cifar_depth: did you mean resnet-56-A?"),
        ((*DEPTH, "--only", " "), "--only ' ': must be one line of text"),
        (
            ("--table", "table3", "--only", "ResNet-34"),
            "--only ResNet-34 is 3 nets of imagenet_shortcuts: choose resnet-34-A, resnet-34-B, resnet-34-C, or 'ResNet-34-*'",
        ),
        # seeds
        ((*DEPTH, "--seeds", "0"), "--seeds 0: number of seeds must be 1 to 1,000"),
        ((*DEPTH, "--seeds", "-3"), "--seeds -3: number of seeds must be 1 to 1,000"),
        ((*DEPTH, "--seeds", "1000000"), "--seeds 1000000: number of seeds must be 1 to 1,000"),
        ((*DEPTH, "--seeds", "9" * 5000), "9: number of seeds must be 1 to 1,000"),
        ((*DEPTH, "--seeds", "x"), "--seeds x: must be a count such as 5, a list such as 0,3,7, or paper"),
        ((*DEPTH, "--seeds", "1.5"), "--seeds 1.5: must be a count such as 5, a list such as 0,3,7, or paper"),
        ((*DEPTH, "--seeds", "0,3,3"), "--seeds 0,3,3: a seed is listed twice: name each once"),
        ((*DEPTH, "--seeds", "0,3000000000"), "--seeds 0,3000000000: seed 3000000000 must be 0 to 2,147,483,647"),
        # words
        ((*DEPTH, "--cluster", "slrum"), "--cluster slrum: did you mean slurm?; choose from local, slurm"),
        ((*DEPTH, "--cluster", "pbs"), "--cluster pbs: choose from local, slurm"),
        ((*DEPTH, "--schedule", "shrot"), "--schedule shrot: did you mean short?; choose from paper, short, smoke"),
        ((*DEPTH, "--dataset", "cifar-10"), "--dataset cifar-10: did you mean cifar10?; choose from cifar10"),
        ((*DEPTH, "--execution", "fast"), "--execution fast: choose from auto, eager"),
        (
            (*DEPTH, "--dataset", "imagenet"),
            "--dataset imagenet is no data set of cifar_depth: choose cifar10 or digits",
        ),
        ((*SMOKE, "--selection", "val45k", "--dataset", "digits"), "--selection val45k is a split of cifar10"),
        ((*SMOKE, "--selection", "val45k"), "--selection val45k is a split of cifar10"),
        # numbers
        ((*DEPTH, "--workers", "-1"), "--workers -1: must be a whole number from 0 to 1,024"),
        ((*DEPTH, "--workers", "two"), "--workers two: must be a whole number from 0 to 1,024"),
        ((*DEPTH, "--pack", "0"), "--pack 0: must be a whole number from 1 to 256"),
        ((*DEPTH, "--pack", "1e3"), "--pack 1e3: must be a whole number from 1 to 256"),
        *(
            ((*DEPTH, "--cluster", "slurm", option, value), f"{option} {value}: must be {wanted}")
            for option, value, wanted in (
                ("--nodes", "0", "a whole number from 1 to 10,000"),
                ("--tasks-per-node", "-1", "a whole number from 1 to 1,024"),
                ("--gpus", "-1", "a whole number from 0 to 1,024"),
                ("--cpus", "0", "a whole number from 1 to 4,096"),
                ("--parallel", "0", "a whole number from 1 to 1,000,000"),
                ("--signal-seconds", "0", "a whole number from 1 to 65,535"),
                ("--signal-seconds", "65536", "a whole number from 1 to 65,535"),
                ("--time", "0", "a minute or more, as 90, 4:00:00 or 1-12:00:00"),
                ("--time", "soon", "a minute or more, as 90, 4:00:00 or 1-12:00:00"),
                ("--mem", "8 G", "a size such as 500M or 8G"),
            )
        ),
        # fields of the recipe
        (
            (*SMOKE, "--set", "bn_groups=64"),
            "--set bn_groups=64: bn_groups is no field of the recipe: choose from batch",
        ),
        ((*SMOKE, "--set", "bn_group=many"), "--set bn_group=many: bn_group must be a whole number or none"),
        ((*SMOKE, "--set", "decay=some"), "--set decay=some: decay must be all or weights"),
        ((*SMOKE, "--set", "bn_group"), "--set bn_group is no NAME=VALUE: try bn_group=64"),
        (("status", *DEPTH, "--set", "bn_groups=64", *THERE), "bn_groups is no field of the recipe"),
        (("--table", "complexity", "cifar_depth", "--set", "bn_groups=64"), "bn_groups is no field of the recipe"),
        # options that a table does not heed
        (
            ("--table", "third_party", "--cancel"),
            "cancel: no runs belong to third_party: choose a table that runs fill",
        ),
        (
            ("status", "--table", "complexity", *THERE),
            "status: no runs belong to complexity: choose a table that runs fill",
        ),
        (
            ("--table", "complexity", "--seeds", "3", "--only", "foo"),
            "--seeds and --only do nothing for complexity: leave",
        ),
        (("--table", "claims", "--only", "nothing_such"), "--only does nothing for claims: leave it out"),
        (("--table", "throughput", "--seeds", "3"), "--seeds does nothing for throughput: leave it out"),
        (("--table", "harness", "loading", "--data", "d"), "--data does nothing for harness and loading: leave it out"),
        (
            ("--table", "third_party", "--cluster", "slurm", "--gpus", "1"),
            "--cluster and --gpus do nothing for third_party",
        ),
        (("--table", "gradients", "--set", "lr=1"), "--set does nothing for gradients: leave it out"),
        ((*DEPTH, "--skip-broken"), "--skip-broken does nothing for cifar_depth: leave it out"),
        (
            ("report", "--table", "calibration", "--schedule", "short"),
            "--schedule does nothing for calibration: leave it out",
        ),
        # what goes together
        ((*DEPTH, "--gpus", "2"), "--gpus is for Slurm: add --cluster slurm"),
        ((*DEPTH, "--wait"), "--wait is for Slurm: add --cluster slurm"),
        ((*DEPTH, "--status", "--cancel"), "--status and --cancel are different commands: give one of them"),
        ((*DEPTH, "--check", "--force"), "--check does one thing and stops: leave out --force"),
        ((*DEPTH, "--report", "--dry-run"), "--report does one thing and stops: leave out --dry-run"),
        (("--import", "a.zip", "--force"), "--force is for --publish here: add that, or leave out --force"),
        ((*DEPTH, "--checkpoints", "all"), "--checkpoints all is for export: add --export FILE"),
        # folders
        (
            (*DEPTH, "--status", "--results", "/nonexistent"),
            "--results /nonexistent: no such folder: give the one in which",
        ),
        *(
            ((*words, *DEPTH, "--results", "/nonexistent"), "--results /nonexistent: no such folder")
            for words in (("status",), ("logs", "plain-20"), ("cancel",), ("retry",), ("export", "a.zip"))
        ),
        ((*DEPTH, "--results", ""), "--results '': it is empty: choose another path"),
        *(
            ((*DEPTH, "--dry-run", option, path), f"{option} {said}: choose another path")
            for option in ("--results", "--tables", "--data")
            for path, said in (
                ("x" * 300, f"{'x' * 60}...: File name too long"),
                ("a\0b", "'a\\x00b': it has a NUL"),
                (f"{ROOT}/README.md/x", f"{ROOT}/README.md/x: Not a directory"),
            )
        ),
        # nets of others
        (("evaluate",), "--table is missing"),
        (("evaluate", "net.pt"), "evaluate net.pt: add --arch, such as resnet-56-A"),
        (("evaluate", "torchvision"), "evaluate torchvision: add --table, such as imagenet_shortcuts"),
        (("evaluate", "net.pt", "--arch", "imagenet-resnet-50-B"), "evaluate net.pt: add --table, such as"),
        (("evaluate", "net.pt", "--table", "table3"), "add --arch, such as imagenet-resnet-50-B-stride3x3"),
        (("evaluate", "net.pt", *DEPTH, "--arch", "resnet-56-A"), "is for ImageNet tables: choose from imagenet_plain"),
        (("evaluate", "--table", "table3"), "evaluate: FILE is missing: see run.py evaluate --help"),
        (
            ("evaluate", "--table", "table3", "--ensemble"),
            "--ensemble is Table 5: give it with --table imagenet_multiscale",
        ),
        (
            ("evaluate", "a.pt", "--arch", "resnet-8-A", "--normalise", "pixel"),
            "--normalise pixel: did you mean per-pixel?",
        ),
    ],
)
def test_mistakes_get_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in complaint(capsys, *arguments)


VALUES = {
    "cluster": "slurm", "schedule": "short", "seeds": "2", "only": "resnet-20-A", "dataset": "digits", "data": "d",
    "set": "lr=0.2", "selection": "val45k", "workers": "1", "execution": "eager", "weights": "torchvision",
    "logs": "resnet", "retry": "failed", "arch": "resnet-8-A",
}  # fmt: skip
"""A value for each option that some table does not heed, but for those of Slurm; flags have none."""


@pytest.mark.parametrize("table", TABLES)
def test_a_table_refuses_every_option_that_it_does_not_heed(table: str) -> None:
    everything = frozenset().union(*(each.heeds for each in TABLES.values()))
    for name in sorted(everything - TABLES[table].heeds - {field for field in FIELDS if FIELDS[field].page == "slurm"}):
        value = [VALUES[name]] if name in VALUES else [] if FIELDS[name].flag else ["2"]
        with pytest.raises(UserError) as error:
            parse(("--table", table, FIELDS[name].name, *value))
        reasons = (table, "is for ImageNet tables", "is Table 5", "is the net in a file")
        assert any(reason in str(error.value) for reason in reasons), (name, str(error.value))


def parsed(*words: str) -> Options:
    return parse(words)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("table1", "complexity"),
        ("table2", "imagenet_plain_vs_residual"),
        ("table3", "imagenet_shortcuts"),
        ("table4", "imagenet_multiscale"),
        ("table5", "imagenet_multiscale"),
        ("table6", "cifar_depth"),
        ("fig1", "cifar_depth"),
        ("fig4", "imagenet_plain_vs_residual"),
        ("fig6", "cifar_depth"),
        ("fig7", "layer_responses"),
        ("Table 6", "cifar_depth"),
        ("Fig. 6", "cifar_depth"),
        ("figure_7", "layer_responses"),
        ("CIFAR_DEPTH", "cifar_depth"),
        ("cifar-depth", None),
    ],
)
def test_tables_are_named_as_the_paper_numbers_them(name: str, table: str | None) -> None:
    if table is None:
        with pytest.raises(UserError, match="did you mean cifar_depth"):
            parsed("--table", name)
    else:
        assert parsed("--table", name).table == (table,)
        assert parsed("--table", name, table).table == (table,)  # once


def test_every_number_of_the_paper_that_names_a_table_stands_in_its_title() -> None:
    for alias, table in ALIASES.items():
        kind, number = re.fullmatch(r"(table|fig)(\d)", alias).groups()  # type: ignore[union-attr]
        title = TABLES[table].title
        assert re.search({"table": rf"Tables? (\d and )?{number}\b", "fig": rf"Fig\. {number}\b"}[kind], title), (
            alias,
            title,
        )


@pytest.mark.parametrize(
    ("table", "only", "nets"),
    [
        ("table6", "ResNet-56", ["resnet-56-A"]),
        ("table6", "resnet-56", ["resnet-56-A"]),
        ("table6", "RESNET-56-a", ["resnet-56-A"]),
        ("table6", "*NET-5*", ["resnet-56-A"]),
        ("table6", "resnet-26", ["resnet-26-A"]),
        ("table6", "resnet-26-a", ["resnet-26-A"]),
        ("table6", "Plain-20", ["plain-20"]),
        ("table3", "ResNet-50", ["imagenet-resnet-50-B"]),
        ("table3", "resnet-34 b", ["imagenet-resnet-34-B"]),
        ("table3", "ResNet-34-*", [f"imagenet-resnet-34-{option}" for option in "ABC"]),
        ("table2", "ResNet-34", ["imagenet-resnet-34-A"]),
        ("gradients", "PLAIN-20-NO-BN", ["plain-20"]),
        ("warmup", "resnet-20", ["resnet-20-A"]),
    ],
)
def test_nets_are_named_in_any_case_and_as_the_paper_does(table: str, only: str, nets: list[str]) -> None:
    (name,) = (options := parsed("--table", table, "--only", only)).table
    found = [spec.arch.name for spec in TABLES[name].plan(options).specs]
    assert list(dict.fromkeys(found)) == nets


@pytest.mark.parametrize(
    ("text", "of_110", "of_others"),
    [
        ("3", (0, 1, 2), (0, 1, 2)),
        ("0,3,7", (0, 3, 7), (0, 3, 7)),
        ("7,", (7,), (7,)),
        ("paper", (0, 1, 2, 3, 4), (0,)),
    ],
)
def test_seeds_are_a_count_or_a_list_or_the_papers(
    text: str, of_110: tuple[int, ...], of_others: tuple[int, ...]
) -> None:
    options = parsed("--table", "cifar_depth", "--seeds", text)
    found: dict[str, list[int]] = {}
    for spec in TABLES["cifar_depth"].plan(options).specs:
        found.setdefault(spec.arch.name, []).append(spec.seed)
    assert tuple(found.pop("resnet-110-A")) == of_110
    assert {tuple(seeds) for seeds in found.values()} == {of_others}
    again = parse(options.report_arguments("cifar_depth"))
    assert again.report
    assert TABLES["cifar_depth"].plan(again).specs == TABLES["cifar_depth"].plan(options).specs


def test_as_many_seeds_as_are_allowed_are_planned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run.main((*DEPTH, "--seeds", "1000", "--dry-run", "--results", str(tmp_path))) == 0
    assert "11000 runs in " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("--status", *DEPTH), ("status", *DEPTH)),
        (("--cancel", *DEPTH, "--cluster", "slurm", "--pack", "4"), ("cancel", *DEPTH)),
        (("--logs", "plain-20", *DEPTH), ("logs", "plain-20", *DEPTH)),
        (("--retry", "failed", *DEPTH, "--cluster", "slurm", "--gpus", "2"), ("retry", *DEPTH, "--gpus", "2")),
        (("--export", "a.zip", "--checkpoints", "all"), ("export", "a.zip", "--checkpoints", "all")),
        (("--import", "a.zip", "b.zip", "--publish", "--force"), ("import", "a.zip", "b.zip", "--publish", "--force")),
        (("--publish", *DEPTH, "--force"), ("publish", *DEPTH, "--force")),
        (("--table", "all", "--report"), ("report",)),
        (("--table", "all", "--check"), ("check",)),
        (("--report", *DEPTH), ("report", "--table", "table6")),
        (("--evaluate", "a.pt", "--arch", "resnet-8-A"), ("evaluate", "a.pt", "--arch", "resnet-8-A")),
        (
            ("--table", "imagenet_shortcuts", "--weights", "torchvision"),
            ("evaluate", "torchvision", "--table", "imagenet_shortcuts"),
        ),
        (("--table", "table5", "--ensemble"), ("evaluate", "--ensemble", "--table", "table5")),
    ],
)
def test_flags_of_old_are_the_commands_of_today(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    one, other = parse(old), parse(new)
    same = {"cluster": "local", "slurm": replace(one.slurm, pack=1)} if "--cancel" in old else {}
    assert replace(one, **same) == other  # type: ignore[arg-type]


def test_a_report_that_was_queued_by_an_older_command_is_understood() -> None:
    words = "--table gradients --report --schedule short --seeds 1 --selection all --results r --tables t"
    again = ["report", "--table", "gradients", "--schedule", "short", "--results", "r", "--tables", "t"]
    assert parse(words.split()) == parse(again)


@pytest.mark.parametrize(
    ("table", "made", "message"),
    [
        ("cifar_depth", (), "nowhere: no cifar-10-batches-py in it: give --download"),
        ("warmup", (), "nowhere: no cifar-10-batches-py in it: give --download"),
        ("imagenet_shortcuts", (), "nowhere: no such folder: give the folder that holds train/<class>"),
        ("imagenet_shortcuts", ("train/a",), "nowhere: no folder val in it"),
        ("imagenet_shortcuts", ("train/a", "val/a"), "nowhere: 1 class folders, and ImageNet has 1000"),
    ],
)
def test_missing_data_are_named_and_no_run_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, made: tuple[str, ...], message: str
) -> None:
    for name in made:
        (tmp_path / "nowhere" / name).mkdir(parents=True)
    places = ("--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t"), "--data", str(tmp_path / "nowhere"))
    assert run.main(("--table", table, "--only", "*1*0*", *places)) == 2
    assert message in capsys.readouterr().err
    assert not any((tmp_path / "t").iterdir())
    assert not (tmp_path / "r").exists()


def test_evaluate_downloads_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told one to give --download, and ignored it."""
    import torch
    from torchvision.datasets import CIFAR10

    from models.arch import Arch
    from models.build import build

    asked = []

    def unreachable(self: CIFAR10) -> None:
        asked.append(self.root)
        raise OSError("no way there")

    monkeypatch.setattr(CIFAR10, "download", unreachable)
    net, data = tmp_path / "net.pt", tmp_path / "data"
    torch.save(build(Arch("cifar", 8, "A")).state_dict(), net)
    arguments = ("evaluate", str(net), "--arch", "resnet-8-A", "--data", str(data))
    assert "no cifar-10-batches-py in it: give --download" in complaint(capsys, *arguments)
    assert asked == []
    assert "CIFAR-10 could not be downloaded (no way there)" in complaint(capsys, *arguments, "--download")
    assert asked == [str(data)]


def test_a_results_folder_that_cannot_be_written(command: Command) -> None:
    command.results.write_text("a file")
    done = command(*SMALL, check=False)
    assert done.returncode == 2
    assert f"--results {command.results}" in done.stderr
    assert "it is no folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tables_folder_that_cannot_be_written_is_said_before_anything_is_run(command: Command) -> None:
    command.tables.write_text("a file")
    done = command(*SMALL, check=False)
    assert done.returncode == 2
    assert f"--tables {command.tables}" in done.stderr
    assert not command.results.exists()


def test_slurm_that_is_not_there_is_said(command: Command) -> None:
    (command.folder / "git").symlink_to(str(shutil.which("git")))  # whose absence has a line of its own
    done = command(*SMALL, "--cluster", "slurm", check=False, env={"PATH": str(command.folder)})
    assert done.returncode == 2
    assert done.stderr == (
        "run.py: --cluster slurm: there is no scontrol on this machine's path: "
        "use --cluster local, or mend that and give it again\n"
    )


def page(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run.main(words)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_table_and_command_and_points_to_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    text = page(capsys, "--help")
    assert [name for name in (*TABLES, *COMMANDS) if f"  {name} " not in text] == []
    assert 12 <= len(re.findall(r"^  --", text, re.MULTILINE)) <= 16
    assert "--partition" not in text
    assert "--help-slurm" in text
    assert "Table 6" in text
    assert "--partition" in page(capsys, "--help-slurm")
    assert "--workers" in page(capsys, "--help-more")


@pytest.mark.parametrize(
    "words",
    [
        *((*name, option) for name in ((), *((name,) for name in COMMANDS)) for option in ("--help", "-h")),
        *((*name, option) for name in ((), ("retry",)) for option in ("--help-more", "--help-slurm")),
        ("evaluate", "--help-more"),
    ],
    ids=" ".join,
)
def test_a_help_page_fits_a_screen(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """And says each thing in a line: options with long help, or titles, are to be said shorter."""
    lines = page(capsys, *words).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= (24 if words[0] in COMMANDS or "-" in words[0][2:] else 50)
    assert [line for line in lines if line.startswith("     ") and "run.py" not in line] == []


def test_every_option_stands_on_a_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    pages = [page(capsys, name) for name in ("--help", "--help-more", "--help-slurm")]
    pages += [page(capsys, name, "--help") for name in COMMANDS]
    named = {command.target for command in COMMANDS.values()}
    missing = {field.name for field in FIELDS.values() if not any(f"  {field.name} " in text for text in pages)}
    assert missing == {"--status", "--retry", "--cancel", "--evaluate", *(FIELDS[name].name for name in named if name)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_help_page_are_understood(capsys: pytest.CaptureFixture[str], name: str) -> None:
    examples = [
        line.split("run.py ")[1] for line in page(capsys, name, "--help").splitlines() if line.startswith("  python")
    ]
    assert examples
    for line in examples:
        parse(shlex.split(line))


def test_help_lines_are_noun_phrases() -> None:
    verbs = {"print", "run", "say", "send", "show", "test", "train", "put", "take", "pack", "leave", "copy", "write"}
    for field in FIELDS.values():
        assert not field.help.endswith(".")
        assert field.help.split()[0].lower() not in verbs


def test_version_names_the_project_and_the_commit(command: Command) -> None:
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "run.py", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(rf"resnet-bench \d+\.\d+\.\d+, commit {commit[:10]}( and changes)?\n", done.stdout)


def test_a_plan_says_hours_and_shorter_schedules(command: Command) -> None:
    """And a local run says them before it begins."""
    *_, hours, shorter = command("--table", "cifar_depth", "--dry-run").stdout.splitlines()
    assert re.match(r"expected: [\d.,]+ h of [CG]PU time in all, (measured|by multiply-adds)", hours)
    assert re.fullmatch(r"shorter: --schedule short [\d.,]+ (h|min), --schedule smoke [\d.,]+ (h|min)", shorter)
    sent = command("--table", "cifar_depth", "--cluster", "slurm", "--dry-run").stdout
    assert re.search(r"^expected: .* in all, .*\nshorter: --schedule short", sent, re.MULTILINE)
    *_, shorter = command("--table", "table3", "--dry-run", "--data", "/proc").stdout.splitlines()  # nothing is listed
    assert shorter.startswith("shorter: --schedule short ")
    *_, only = command("--table", "cifar_depth", "--schedule", "smoke", "--dry-run").stdout.splitlines()
    assert only.startswith("expected: ")


def test_the_plan_names_every_run(command: Command) -> None:
    lines = command("--table", "cifar_depth", "--seeds", 2, "--dry-run").stdout.splitlines()
    assert lines[0].startswith("22 runs in ")
    assert sum("64,000 iterations of 128 on cifar10" in line for line in lines) == 22
    assert not command.results.exists()


def test_several_tables_and_all_of_them(command: Command) -> None:
    several = command("--table", *TABLES, "--dry-run").stdout
    assert several == command("--table", "all", "--dry-run").stdout
    assert "complexity counts imagenet-plain-18" in several
    assert "11 runs in " in several


def test_a_changed_field_has_a_page_of_its_own(command: Command) -> None:
    """The same identity from the command line as from the spec, and nothing is mixed with the table's own runs."""
    changed = ("--set", "bn_group=64", "drops=1,2", "iterations=4")
    said = command(*SMALL, *changed).stdout
    page = command.tables / "cifar_depth.smoke.bn_group=64.drops=1,2.iterations=4.md"
    assert str(page) in said
    assert " ".join(changed) in page.read_text()
    (spec,) = command.results.glob("*/spec.json")
    assert json.loads(spec.read_text())["recipe"]["drops"] == [1, 2]
    assert "  new\nexpected: " in command(*SMALL, "--dry-run").stdout  # the run of the recipe itself is another


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A folder where one net was run by the command."""
    command = Command(tmp_path_factory.mktemp("a folder"))
    command.first = command(*SMALL)  # type: ignore[attr-defined]
    return command


def test_a_run_gives_a_page_and_a_figure(finished: Command) -> None:
    page = (finished.tables / "cifar_depth.smoke.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| ResNet-8 "))
    assert "not comparable" in row
    assert "| missing" in next(line for line in page.splitlines() if line.startswith("| ResNet-56 "))
    assert "![" in page
    assert (finished.tables / "figures" / "cifar_depth.smoke.svg").read_text().startswith("<?xml")
    assert (finished.tables / "figures" / "cifar_depth.smoke.png").read_bytes().startswith(b"\x89PNG")
    assert "scikit-learn's 8x8 handwritten digits" in page
    assert "ResNet-8" in finished.first.stdout  # type: ignore[attr-defined]
    assert "images/s" in finished.first.stdout  # type: ignore[attr-defined]
    assert "ETA" in finished.first.stdout  # type: ignore[attr-defined]
    assert finished.first.stdout.startswith("expected: ")  # type: ignore[attr-defined]
    assert finished.first.stdout.count("expected: ") == 1  # type: ignore[attr-defined]


def test_the_run_folder_has_everything(finished: Command) -> None:
    (folder,) = [path for path in finished.results.iterdir() if path.is_dir()]
    names = {path.name for path in folder.iterdir()} - {".lock.1.free"}
    records = {"spec.json", "metrics.jsonl", "result.json", "provenance.json", "heartbeat.json"}
    assert names == {*records, "checkpoint.pt", "log.txt"}
    facts = json.loads((folder / "provenance.json").read_text())
    assert {"code", "packages", "cpu", "device", "precision", "deterministic", "host", "slurm"} <= facts.keys()
    assert {"started", "ended", "wall_seconds", "restarts"} <= facts.keys()
    result = RunFolder(finished.results, folder.name).read_result()
    assert result.test_error is not None
    assert result.test_error < 30  # it has learnt: guessing leaves 90 %


def test_the_same_command_runs_nothing_again(finished: Command) -> None:
    again = finished(*SMALL)
    assert "all 1 runs have a result" in again.stdout
    assert "done" in finished(*SMALL, "--dry-run").stdout


def test_report_runs_nothing(finished: Command) -> None:
    shutil.rmtree(finished.tables)
    assert "wrote" in finished(*SMALL, "--report").stdout
    assert (finished.tables / "cifar_depth.smoke.md").exists()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists(), process.communicate()


def running(command: Command) -> tuple[subprocess.Popen[str], RunFolder]:
    """A command that is at work on a run which takes a while, past its first checkpoint."""
    run_id = command(*A_WHILE, "--dry-run").stdout.splitlines()[1].split()[0]
    folder = RunFolder(command.results, run_id)
    process = command.start(*A_WHILE)
    wait_for(folder.checkpoint, process)
    return process, folder


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(command: Command) -> None:
    process, folder = running(command)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "stopped at iteration" in err
    assert "to go on, give the same command: python " in err
    assert "Traceback" not in err
    assert not folder.finished()
    assert "goes on from its checkpoint" in command(*A_WHILE, "--dry-run").stdout
    command(*A_WHILE)
    assert json.loads(folder.provenance.read_text())["restarts"] == 1
    iterations = [row["iteration"] for row in folder.read_metrics()]
    assert iterations == list(range(20, 161, 20))


@pytest.mark.slow
def test_two_commands_on_one_run(command: Command) -> None:
    process, _ = running(command)
    assert re.search(r"  running, \d+ of 160\n", command(*A_WHILE, "--dry-run").stdout)
    second = command(*A_WHILE, check=False)
    assert second.returncode == 2, second.stdout + second.stderr
    assert f"is being worked on by process {process.pid} on " in second.stdout + second.stderr
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """On a real file system of half a megabyte; where it may not be mounted, with a limit on the size of files."""
    from bench.errors import UserError
    from bench.files import write_bytes

    small = tmp_path / "small"
    small.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", small], capture_output=True).returncode
        == 0
    )
    if not mounted:
        pytest.skip("needs to mount a small file system")
    try:
        target = small / "checkpoint.pt"
        write_bytes(target, b"old" * 1000)
        with pytest.raises(UserError, match=r"no space left to write .*checkpoint\.pt: free some"):
            write_bytes(target, b"new" * 1_000_000)
        assert target.read_bytes() == b"old" * 1000
        assert [path.name for path in small.iterdir()] == ["checkpoint.pt"]
        done = Command(tmp_path)
        done.results = small / "results"
        ended = done(*SMALL, check=False)
        assert ended.returncode == 2, ended.stdout + ended.stderr
        assert "no space left to write" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        subprocess.run(["umount", small], check=True)
