"""Figures: no label lies on another, every curve can be told without colour, the same data give the same bytes."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import made_up
import numpy as np
import pytest
from conftest import ROOT

from bench.command import tables as register
from bench.report.figures import chart, curves, drawing, labels, points
from bench.report.figures.chart import Axis, Chart, Panel, Series, Style
from bench.report.figures.labels import spread
from bench.report.page import Page, Picture
from bench.report.sections import imagenet
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth, complexity, third_party
from bench.runs.finished import finished_runs
from bench.studies.imagenet import STUDIES
from bench.studies.variant import PAPER, ImageNetVariant, Variant
from models.arch import Arch

MEASURED = ROOT / "tables" / "measured"


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chart]:
    """Every figure: from the committed runs, and from made-up ones that lie near each other where none are committed."""
    results = tmp_path_factory.mktemp("results")
    short = Variant("short", "cifar10", "all")
    archs = [arch for arch in cifar_depth.ARCHS if arch.name != "plain-110"]
    full = made_up.runs(results, [PAPER.spec(arch, seed) for arch in archs for seed in range(4)])
    full |= made_up.runs(results, [PAPER.spec(Arch("cifar", 110), 0)], 75)
    two = ImageNetVariant(STUDIES["imagenet_plain_vs_residual"], "paper")
    large = made_up.runs(results, two.specs(), 25.0)
    pages: list[Page] = [
        cifar_depth.page(Found(finished_runs(MEASURED), (MEASURED,)), short),
        cifar_depth.page(Found(full, (MEASURED,)), PAPER),
        complexity.page(complexity.load(MEASURED / "complexity.json")),
        imagenet.page(Found(large, (results,)), two),
        third_party.page(),
    ]
    return {each.name: each.draw() for page in pages for each in page.figures}


NAMES = [
    *(f"cifar_depth{kind}{part}" for kind in ("", ".short") for part in ("", ".depth", ".fig1", ".against")),
    "complexity.against",
    "imagenet_plain_vs_residual", "third_party",
]  # fmt: skip


def overlaps(drawn: Chart) -> list[str]:
    """The pairs of texts that lie on each other, and texts that leave the figure."""
    import matplotlib.pyplot as plt

    whole = drawing.draw(drawn)
    whole.draw_without_rendering()
    from matplotlib.text import Text

    texts = [t for t in whole.findobj(Text) if t.get_visible() and t.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    plt.close(whole)
    inside = whole.bbox.expanded(1.005, 1.005)
    lost = [name for name, box in boxes if not (inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1))]
    return [f"{a} on {b}" for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)] + lost


@pytest.mark.parametrize("name", NAMES)
def test_no_label_lies_on_another(charts: dict[str, Chart], name: str) -> None:
    assert overlaps(charts[name]) == []


def misleading(drawn: Chart) -> list[str]:
    """Names that are much nearer to another point than to their own, without a line to theirs."""
    import matplotlib.pyplot as plt
    from matplotlib.text import Annotation

    whole = drawing.draw(drawn)
    whole.draw_without_rendering()
    found = []
    for axis in whole.axes:
        notes = [note for note in axis.texts if isinstance(note, Annotation)]
        led = [note.xy for note in notes if note.arrow_patch]
        for note in notes:
            if note.get_text() and note.xy not in led:
                box = note.get_window_extent()
                own, *others = (
                    labels.apart(box, *axis.transData.transform(xy)) for xy in (note.xy, *(n.xy for n in notes))
                )
                found += [note.get_text()] if 1.5 * min(each for each in others if each != own) < own else []
    plt.close(whole)
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".against")])
def test_a_name_belongs_to_its_point(charts: dict[str, Chart], name: str) -> None:
    assert misleading(charts[name]) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".against")])
def test_no_name_lies_on_an_interval(charts: dict[str, Chart], name: str) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.transforms import Bbox

    whole = drawing.draw(charts[name])
    whole.draw_without_rendering()
    for axis, panel in zip(whole.axes, charts[name].panels, strict=True):
        bars = [((x, low), (x, high)) for s in panel.series for x, low, high in zip(s.x, s.low, s.high, strict=False)]
        names = [note for note in axis.texts if note.get_text()]
        assert names
        for bar in bars:
            lain_on = Bbox(axis.transData.transform(bar))
            assert [note.get_text() for note in names if note.get_window_extent().overlaps(lain_on)] == []
    plt.close(whole)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".against")])
def test_names_and_their_lines_keep_clear(charts: dict[str, Chart], name: str) -> None:
    """No line crosses another or a name, up to where points lie together, and no name touches the panel's edge."""
    import matplotlib.pyplot as plt
    from matplotlib.path import Path as Line
    from matplotlib.text import Annotation

    whole = drawing.draw(charts[name])
    whole.draw_without_rendering()
    for axis in whole.axes:
        notes = [note for note in axis.texts if isinstance(note, Annotation)]
        boxes = {note.get_text(): note.get_window_extent() for note in notes if note.get_text()}
        lines = []
        for note in notes:
            if note.arrow_patch:
                point = axis.transData.transform(note.xy)
                way = np.array(note.xyann) * whole.dpi / 72
                lines.append(Line([point + 0.99 * way, point + 0.3 * way]))
        edge = axis.get_window_extent()
        assert [text for text, box in boxes.items() if not (edge.x0 < box.x0 < box.x1 < edge.x1)] == []
        assert [text for text, box in boxes.items() if not (edge.y0 < box.y0 < box.y1 < edge.y1)] == []
        assert [text for line in lines for text, box in boxes.items() if line.intersects_bbox(box, filled=False)] == []
        assert not any(one.intersects_path(two) for one, two in combinations(lines, 2))
    plt.close(whole)


def test_labels_that_lie_on_each_other_are_seen() -> None:
    style = Style(2.0, marker="circle")
    series = [Series(str(i), "kind", [1, 2], [1, 1 + i / 99], "#000000", style) for i in range(2)]
    axis = Axis("much too long for so narrow a figure, and twice as long again, is what this label says " * 3, 0, 3)
    assert overlaps(Chart([Panel("", axis, axis, series)])) != []


def test_labels_are_spread_around_where_they_belong() -> None:
    assert spread([1.0, 5.0, 9.0], 2) == [1, 5, 9]
    assert spread([5.0, 5.0, 5.0], 2) == [3, 5, 7]
    assert spread([1.0, 1.5, 9.0], 1) == [0.75, 1.75, 9]


def test_all_figures_of_the_issue_are_there(charts: dict[str, Chart]) -> None:
    assert set(NAMES) <= charts.keys()
    sixth = charts["cifar_depth"]
    assert [panel.title for panel in sixth.panels] == ["plain", "residual", "residual, deepest"]
    assert {"test error", "training error", "the paper's test error", "the paper's training error"} == set(sixth.kinds)
    assert sixth.nets.keys() >= {"plain-20", "plain-110", "ResNet-1202"}
    assert "the paper's" in charts["cifar_depth.short.fig1"].kinds
    fourth = charts["imagenet_plain_vs_residual"]
    assert set(fourth.kinds) >= {"validation error", "the paper's validation error"}
    depth = charts["cifar_depth.depth"].panels[0]
    lines = {f"{family}, {whose}" for family in ("plain", "residual") for whose in ("ours", "the paper's")}
    others = {"others, same protocol", "others, another protocol"}
    assert {series.end for series in depth.series} == {*lines, ""}
    assert {series.kind for series in depth.series} == {"ours", "the paper's", *others}
    short = charts["cifar_depth.short.depth"].panels[0].series
    assert {series.end for series in short} == lines
    assert {(series.net, series.kind) for series in short} == {tuple(line.split(", ")) for line in lines}
    assert charts["cifar_depth.against"].panels[0].identity


def test_a_picture_of_other_runs_than_the_papers_says_so(charts: dict[str, Chart]) -> None:
    for name, drawn in charts.items():
        said = "4,000 iterations, not the paper's 64,000" if ".short" in name else ""
        assert drawn.heading == said, name


def test_intervals_are_of_a_further_seed() -> None:
    from scipy import stats

    errors = [8.6, 8.8, 8.9, 8.7, 8.5]
    found = points.value(errors)
    assert found
    low, high = stats.t.interval(0.95, 4, loc=8.7, scale=stats.tstd(errors) * (1 + 1 / 5) ** 0.5)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert points.value(errors[:2]) == points.Value(8.7)
    assert points.value([]) is None


def lightness(colour: str) -> float:
    """L* of CIELAB: what is left of a colour on a printer without colours."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 116 * sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) ** (1 / 3) - 16


def test_colours_differ_in_lightness_too() -> None:
    steps = [lightness(colour) for colour in chart.SHADES]
    assert all(a - b >= 9 for a, b in pairwise(steps))
    assert steps[0] <= 70  # seen on white
    assert lightness(chart.PLAIN) - lightness(chart.RESIDUAL) >= 20


def test_kinds_are_told_apart_without_colour(charts: dict[str, Chart]) -> None:
    for name, drawn in charts.items():
        looks = [(s.width, s.dash, s.opacity, s.marker, s.filled) for s in drawn.kinds.values()]
        assert len(set(looks)) == len(looks), name


def test_many_seeds_become_a_mean_and_a_band(charts: dict[str, Chart]) -> None:
    plain_20 = [s for s in charts["cifar_depth"].panels[0].series if s.net == "plain-20" and s.kind == "test error"]
    (mean,) = plain_20
    assert curves.SEEDS_APART < 4
    assert mean.y[-1] == pytest.approx(7.15)
    assert (mean.low[-1], mean.high[-1]) == pytest.approx((7.0, 7.3))


def test_the_same_data_give_the_same_bytes(charts: dict[str, Chart], tmp_path: Path) -> None:
    first, second = (drawing.save(charts["complexity.against"], tmp_path / "name") for _ in range(2))
    assert first == second
    assert [path.name for path in first] == ["name.svg", "name.png"]
    assert b"ResNet-1202 A" in first[tmp_path / "name.svg"]  # text stays text


def test_the_last_bit_of_a_logarithm_moves_no_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processors differ in it; matplotlib's own choice of places made another picture of it."""
    found = Found(finished_runs(MEASURED), (MEASURED, MEASURED))
    (picture,) = [
        part
        for page in register.pages(["loss_surface"], found)
        for part in page.figures
        if isinstance(part, Picture) and part.name.endswith("contours")
    ]
    before = list(drawing.save(picture.draw(), tmp_path / "one").values())
    logarithm = np.log10
    monkeypatch.setattr(np, "log10", lambda values: np.nextafter(logarithm(values), np.inf))
    assert list(drawing.save(picture.draw(), tmp_path / "one").values()) == before


def test_a_picture_says_where_it_is_from(charts: dict[str, Chart], tmp_path: Path) -> None:
    """Data set and page stand in each committed picture; those of no data set name the page."""
    for path in (ROOT / "tables" / "figures").glob("*.svg"):
        if ".smoke" not in path.name:
            page = next(p for p in (path.stem, path.stem.rpartition(".")[0]) if (ROOT / "tables" / f"{p}.md").exists())
            text = path.read_text()
            assert f"resnet-bench, tables/{page}.md" in text, path.name
            assert "CIFAR-10; resnet" in text or page in ("calibration", "complexity", "throughput", "third_party")


def test_names_far_from_their_curves_have_a_line_to_them(charts: dict[str, Chart]) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.text import Annotation

    whole = drawing.draw(charts["cifar_depth.short"])
    texts = [text for axis in whole.axes for text in axis.texts if isinstance(text, Annotation)]
    far = [text.xyann for text in texts if text.get_text() and abs(text.xyann[1]) > labels.MOVED]
    lines = [text.xyann for text in texts if text.arrow_patch is not None]
    plt.close(whole)
    assert far
    assert lines == far
    assert len(texts) > 2 * len(far)  # those beside their curve's end need none


def test_depths_have_marks_of_their_own(charts: dict[str, Chart]) -> None:
    import matplotlib.pyplot as plt

    whole = drawing.draw(charts["cifar_depth.short"])
    marks = {
        line.get_color(): line.get_marker() for line in whole.axes[0].lines if line.get_marker() not in ("", "None")
    }
    plt.close(whole)
    assert len(marks) == len(set(marks.values())) == 5  # plain nets of 20, 32, 44, 56 and 110 layers


def test_bars_of_one_family_are_beside_the_points_of_the_other(charts: dict[str, Chart]) -> None:
    ours = [s for s in charts["cifar_depth.short.depth"].panels[0].series if s.kind == "ours"]
    plain, residual = ([x for x, low in zip(s.x, s.low, strict=True) if low == low] for s in ours)
    assert plain
    assert residual
    assert not {*plain} & {*ours[1].x}
    assert not {*residual} & {*ours[0].x}


def test_a_picture_of_one_point_is_not_drawn(tmp_path: Path) -> None:
    for count in (1, 2):
        found = made_up.runs(tmp_path / str(count), [PAPER.spec(Arch("cifar", d), 0) for d in (20, 32)[:count]])
        names = [figure.name for figure in cifar_depth.page(Found(found, (MEASURED,)), PAPER).figures]
        assert ("cifar_depth.against" in names) == (count == 2)


def test_what_is_clipped_points_beyond_the_frame() -> None:
    """And a line of one point, which is not seen, is a circle: the legend names nothing without a mark."""
    from bench.report.figures import gradients
    from bench.report.sections.gradient_rows import rows
    from bench.studies.variant import GradientVariant

    found = Found(finished_runs(MEASURED), (MEASURED, MEASURED))
    shown = [row for row in rows(found, GradientVariant("short", "cifar10")) if row.runs]
    series = [each for panel in gradients.ratios(shown, "").panels for each in panel.series]
    low, high = gradients.RATIOS
    clipped = [each for each in series if each.style.marker in ("triangle", "inverted_triangle")]
    assert {each.style.marker for each in clipped if low in each.y} == {"inverted_triangle"}
    assert all({*each.y} <= {low, high} for each in clipped)
    assert all(len(each.x) > 1 or each.style.marker for each in series)
