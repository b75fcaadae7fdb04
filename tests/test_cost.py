"""Counts: fvcore against the closed form, and the regression check that must be able to fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT

from bench.measure.counts import closed_form
from bench.measure.counts.fvcore_count import measure
from bench.report.tables import complexity as pages
from models.arch import parse_arch

COMMITTED = ROOT / "tables" / "measured" / "complexity.json"


@pytest.mark.parametrize(
    "name",
    ["plain-20", "resnet-20-A", "resnet-26-B", "resnet-20-C", "imagenet-resnet-18-A", "imagenet-resnet-50-B-stride3x3"],
)
def test_fvcore_and_the_closed_form_agree(name: str) -> None:
    arch = parse_arch(name)
    cost, count = measure(arch), closed_form.count(arch)
    assert cost.closed_form
    assert (cost.parameters, cost.multiply_adds) == (count.parameters, count.multiply_adds)
    assert cost.fvcore_total > cost.multiply_adds


def test_the_closed_form_can_disagree() -> None:
    assert closed_form.count(parse_arch("resnet-20-A")) != closed_form.count(parse_arch("resnet-20-B"))
    assert closed_form.count(parse_arch("resnet-20-A")) != closed_form.count(parse_arch("resnet-26-A"))


@pytest.mark.parametrize(
    ("name", "multiply_adds"),
    [
        ("resnet-1202-A", 2_829_238_912),
        ("imagenet-resnet-152-B", 11_282_415_616),
        ("imagenet-resnet-34-C", 3_830_747_136),
        ("vgg-16", 15_470_264_320),
        ("vgg-19", 19_632_062_464),
    ],
)
def test_committed_counts(name: str, multiply_adds: int) -> None:
    cost = pages.load(COMMITTED)[name]
    assert cost.multiply_adds == multiply_adds
    assert closed_form.count(parse_arch(name)).multiply_adds == multiply_adds


def test_the_check_passes_what_is_committed() -> None:
    committed = pages.load(COMMITTED)
    assert pages.regressions(committed, committed) == []


def test_the_check_names_net_quantity_expected_and_found() -> None:
    committed = pages.load(COMMITTED)
    net = committed["resnet-56-A"]
    changed = {**committed, "resnet-56-A": replace(net, parameters=net.parameters + 1)}
    assert pages.regressions(changed, committed) == ["resnet-56-A: parameters: expected 853,018, found 853,019"]
    lost = {name: cost for name, cost in committed.items() if name != "vgg-16"}
    assert pages.regressions(lost, committed) == ["vgg-16: not counted any more"]


def test_the_check_holds_the_paper_too() -> None:
    """A count that changed together with the committed file still has to print as the paper's digits."""
    committed = pages.load(COMMITTED)
    net = committed["imagenet-resnet-101-B"]
    wrong = {**committed, "imagenet-resnet-101-B": replace(net, multiply_adds=7_700_000_000)}
    assert pages.regressions(wrong, wrong) == [
        "imagenet-resnet-101-B: multiply_adds: expected 7.6e9 (Table 1, row 101-layer), found 7,700,000,000"
    ]
    unequal = {**committed, "plain-20": replace(committed["plain-20"], closed_form=False)}
    assert "disagree" in pages.regressions(unequal, committed)[0]


def test_counts_survive_the_file(tmp_path: Path) -> None:
    committed = pages.load(COMMITTED)
    pages.save(tmp_path / "counts.json", committed)
    assert pages.load(tmp_path / "counts.json") == committed
