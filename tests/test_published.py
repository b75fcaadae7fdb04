"""The published numbers against the source they were typed from, wherever that source is at hand."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev

import pytest

from bench.errors import UserError
from bench.report.tables import third_party
from bench.studies import cifar_depth, complexity
from bench.verdicts import published, reported


def source(shared: Path, name: str) -> dict[str, dict[str, str]]:
    with (shared / "paper" / name).open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_every_printed_number_is_there(shared: Path) -> None:
    theirs, ours = source(shared, "paper_numbers.csv"), published.load()
    assert ours.keys() == theirs.keys()
    for id_, row in theirs.items():
        number = ours[id_]
        if row["printed"]:
            assert number.printed == row["printed"], id_
        if number.unit != "text":
            assert number.value == row["value"], id_
        assert number.net == row["row"], id_


def test_the_curves_are_the_papers(shared: Path) -> None:
    with (shared / "paper" / "paper_curves.csv").open(newline="") as file:
        points = [(row["figure"], row["series"], float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    ours = [(*key, x, y) for key, series in published.curves().items() for x, y in series]
    assert sorted(ours) == sorted(points)


def test_every_number_says_what_it_may_be_compared_with() -> None:
    for number in published.load().values():
        assert number.locator, number.id
        assert number.statistic, number.id
        assert number.protocol, number.id
        assert number.unit, number.id
        assert bool(number.printed) != (number.statistic in ("reading off a figure", "text")), number.id


def test_readings_off_figures_are_never_called_printed() -> None:
    assert published.load()["Fig6-left/plain-20/test_error_at_64k"].printed == ""
    assert published.load()["T6/ResNet-20/test_error"].printed == "8.75"


@pytest.mark.parametrize("net", [arch.name for arch in cifar_depth.ARCHS])
def test_every_row_of_the_depth_study_has_its_number(net: str) -> None:
    ids = cifar_depth.PUBLISHED[net]
    number = published.load()[ids.error]
    assert number.net == net.removesuffix("-A").replace("resnet", "ResNet")
    assert number.protocol == "single view"


def test_every_id_of_the_complexity_study_exists() -> None:
    for id_ in [*complexity.PUBLISHED_FLOPS.values(), *complexity.PUBLISHED_PARAMETERS.values()]:
        assert published.load()[id_].statistic == "exact"


ADDED = (
    "AmroAbujabal/resnet-cifar-repro : README.md, results.csv, src/data.py",
    "tensorflow/models : pull request 5243; official/resnet/cifar10_main.py",
)
"""Sources that the list at hand does not have."""


def test_what_others_report_is_what_they_report(shared: Path) -> None:
    """Number for number, with the protocol; a row of the source that lists several has a row here for each."""
    theirs = [
        (row["source"], row["metric"], float(value), row["protocol"])
        for row in source(shared, "third_party_numbers.csv").values()
        for value in row["value"].strip("[]").split(", ")
        if value
    ]
    ours = [(number.source, number.quantity, float(number.value), number.protocol) for number in reported.load()]
    ours = [each for each in ours if each[0] not in ADDED]
    assert sorted(each[:3] for each in ours) == sorted(each[:3] for each in theirs)
    assert {(each[0], each[3]) for each in ours} == {(each[0], each[3]) for each in theirs if each[3] != "same"}


def test_seeds_of_one_recipe_have_a_row_each() -> None:
    """Their README prints means and deviations of these seeds."""
    for net, mean, spread in (("ResNet-20", 8.39, 0.31), ("ResNet-56", 7.45, 0.69)):
        seeds = [n.error for n in reported.load() if n.net == net and n.source == ADDED[0]]
        assert len(seeds) == 3
        assert (fmean(seeds), stdev(seeds)) == pytest.approx((mean, spread), abs=0.005)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"value": "8.39 %"}, "line 3: value is '8.39 %'; expected percent, 0 to 100"),
        ({"value": "nan"}, "line 3: value is 'nan'; expected percent"),
        ({"spread": "+-0.3"}, "line 3: spread is '+-0.3'; expected points"),
        ({"spread": "0.3", "runs": "5"}, None),
        ({"runs": "5"}, "line 3: runs is '5'; expected a number of 2 or more beside a spread"),
        ({"spread": "0.3", "runs": "1"}, "line 3: runs is '1'; expected a number of 2 or more beside a spread"),
        ({"spread": "0.3", "runs": "five"}, "line 3: runs is 'five'; expected a number of 2 or more"),
        (
            {"paper": "T6/ResNet-21/test_error"},
            "line 3: paper is 'T6/ResNet-21/test_error'; expected an id of paper.csv",
        ),
        ({"net": "ResNet"}, "line 3: net is 'ResNet'; expected a name and a depth"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_bad_field_is_named_with_its_line(
    change: dict[str, str], said: str | None, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the mark that spreadsheets write at the beginning."""
    published.load()
    good = asdict(reported.load()[0])
    with (tmp_path / "third_party.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(good))
        writer.writeheader()
        writer.writerows([good, good | change])
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    read = reported.load.__wrapped__
    if said is None:
        assert [asdict(row) for row in read()] == [good, good | change]
        return
    with pytest.raises(UserError) as caught:
        read()
    assert said in str(caught.value)


def test_others_stand_beside_the_number_that_they_answer() -> None:
    for number in reported.load():
        if number.paper:
            paper = published.load()[number.paper]
            assert number.net.split(",")[0].split()[0] == paper.net.split()[0], number.id
            assert (number.top == "top-5") == ("top5" in number.paper), number.id
            if paper.protocol == "10-crop" and "10-crop" not in number.quantity:
                assert "1-crop" in number.departs, number.id
            if "200 epochs" in number.protocol:
                assert "200 epochs" in number.departs, number.id


def test_another_protocol_is_marked_and_not_hidden() -> None:
    lines = third_party.render().splitlines()
    (same,) = [line for line in lines if "| 12.95 ± 0.22" in line]
    assert "| same protocol" in same
    (other,) = [line for line in lines if "akamaster" in line and line.startswith("| ResNet-56 ")]
    assert "| another protocol" in other
    assert "200 epochs instead of 164" in other
    assert sum(line.startswith(("| plain-", "| ResNet-", "| VGG-")) for line in lines) == len(reported.load())
