"""Every field of a recipe has a range; --set and files from elsewhere are checked against the same one."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from bench.command.pages import MEASURED
from bench.command.parse import parse
from bench.command.tables import TABLES
from bench.errors import UserError
from bench.exchange import validate
from bench.exchange.validate import Unsound
from bench.runs import overrides
from bench.runs.folder import RunFolder, read_spec
from bench.runs.ranges import ranges
from bench.runs.spec import CifarRecipe, ImageNetRecipe, Recipe, RunSpec, slug
from bench.studies import cifar_depth, imagenet
from models.arch import Arch

WHOLE = "must be a whole number"
WRONG = [
    *(("iterations", value, ">= 1") for value in ("0", "-5", "1000000001")),
    *(("batch", value, ">= 1 and <= 65,536") for value in ("0", "-1", "100000000", "65537")),
    *(("lr", value, "learning rate must be > 0") for value in ("-1", "0", "nan", "inf", "-inf")),
    ("drops", "48000,32000", "each larger than the one before"),
    ("drops", "100,100", "each larger than the one before"),
    ("drops", "0,100", ">= 1"),
    ("drops", "32000,64000", "drops must lie before the end, at 64,000 iterations"),
    *(("lr_divisor", value, ">= 1") for value in ("0", "0.5", "-10", "nan", "inf")),
    *(("warmup_lr", value, "> 0") for value in ("0", "-0.01", "nan", "inf")),
    *(("warmup_until_error", value, ">= 0 and <= 100") for value in ("-1", "101", "nan")),
    *(("warmup_window", value, ">= 1") for value in ("0", "-1")),
    *(("momentum", value, ">= 0 and < 1") for value in ("2", "1", "-0.1", "nan")),
    *(("weight_decay", value, ">= 0 and <= 1") for value in ("-1", "2", "nan", "inf")),
    *(("bn_group", value, ">= 2") for value in ("1", "0", "-64")),
    *(("bn_group", value, "must divide the batch 128") for value in ("3", "127", "256")),
    ("batch", "100", None),
    *(("evaluate_every", value, ">= 1") for value in ("0", "-500")),
    *(("crop_padding", value, ">= 0 and <= 32") for value in ("-1", "33")),
    *((name, "1.5", WHOLE) for name in ("iterations", "batch", "drops", "warmup_window", "crop_padding", "bn_group")),
    *((name, "", WHOLE) for name in ("iterations", "batch", "drops")),
    ("iterations", "9" * 5_000, WHOLE),
    *((name, "x", "must be ") for name in ("lr", "flip", "normalise", "init", "precision", "decay", "momentum_form")),
]
"""Field, value, what is said; None: a right value."""
WRONG_IMAGENET = [
    *(("plateau_points", value, ">= 1") for value in ("0", "-1")),
    *(("plateau_gain", value, ">= 0 and <= 100") for value in ("-1", "nan", "inf")),
    *(("bn_images", value, ">= 1") for value in ("0", "-1")),
    ("scale", "480,256", "give the smaller one first"),
    ("scale", "256", "2 of them with a comma"),
    ("scale", "256,300,480", "2 of them with a comma"),
    ("scale", "0,480", ">= 1"),
    ("scale", "100,480", "crop 224 must be <= the smallest shorter side 100"),
    ("crop", "0", ">= 1"),
    ("crop", "300", "crop 300 must be <= the smallest shorter side 256"),
    ("bn_group", "48", "must divide the batch 256"),
    ("batch", "48", "batch-norm group 32 must divide the batch 48"),
    ("drops", "300000,600000", "drops must lie before the end"),
]


@pytest.mark.parametrize(("table", "name", "value", "said"), [
    *(("cifar_depth", *case) for case in WRONG), *(("imagenet_shortcuts", *case) for case in WRONG_IMAGENET)
])  # fmt: skip
def test_a_value_out_of_range_is_refused_in_one_line(table: str, name: str, value: str, said: str | None) -> None:
    words = ["--table", table, "--set", f"{name}={value}"]
    if said is None:
        TABLES[table].plan(parse(words))
        return
    with pytest.raises(UserError) as error:
        TABLES[table].plan(parse(words))
    line = str(error.value)
    assert line.startswith(f"--set {name}={value[:80]}: ")
    assert said in line
    assert "\n" not in line
    assert len(line) < 300


def test_the_command_refuses_before_it_plans(command: Command) -> None:
    for table in ("cifar_depth", "loss_surface", "warmup"):
        done = command("--table", table, "--set", "lr=-1", "--dry-run", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "run.py: --set lr=-1: learning rate must be > 0\n"


def test_a_field_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"--set lr=0\.1 lr=0\.2: lr is given twice: give it once"):
        overrides.parse(["lr=0.1", "bn_group=64", "lr=0.2"])


def test_a_training_may_end_before_the_study_s_drops() -> None:
    assert TABLES["cifar_depth"].plan(parse(["--table", "cifar_depth", "--set", "iterations=4"])).specs


@pytest.mark.parametrize("kind", [Recipe, CifarRecipe, ImageNetRecipe])
def test_every_number_of_a_recipe_states_its_range(kind: type[Recipe]) -> None:
    numbers = {f.name for f in fields(kind) if any(word in str(f.type) for word in ("int", "float"))}
    assert numbers == dict(ranges(kind)).keys()


def test_every_recipe_that_there_is_lies_in_range() -> None:
    """Those of the studies and of all that is committed: they are read, and reading checks them."""
    for path in MEASURED.glob("*/spec.json"):
        assert read_spec(path).recipe
    for recipe in (*cifar_depth.SCHEDULES.values(), *imagenet.SCHEDULES.values()):
        assert replace(recipe) == recipe


@pytest.mark.parametrize(("field", "value"), [
    ("lr", -1), ("batch", 0), ("iterations", 0), ("momentum", 2), ("bn_group", 3), ("drops", [2, 1]), ("weight_decay", -1),
    ("evaluate_every", 0), ("crop_padding", -1), ("warmup_window", 0),
])  # fmt: skip
def test_a_file_is_held_to_the_same_ranges(field: str, value: Any, tmp_path: Path) -> None:
    spec = RunSpec(Arch("cifar", 20), CifarRecipe(), "cifar10", 0)
    data = spec.to_json()
    data["recipe"][field] = value
    folder = RunFolder(tmp_path, slug(spec))
    folder.path.mkdir()
    folder.spec.write_text(json.dumps(data))
    with pytest.raises(UserError, match=f"spec.json is damaged .*{field}.* must "):
        read_spec(folder.spec)
    with pytest.raises(Unsound, match=f"{field}.* must "):
        validate.spec_of(folder)
