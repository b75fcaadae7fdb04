"""report.html in a real browser: Debian's chromium, without a screen and without a network."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_up
import pytest
from conftest import Command

from bench.command import pages
from bench.command.parse import parse
from bench.command.report import write_report
from bench.command.tables import TABLES
from bench.errors import UserError
from bench.report.documents import answer, views
from bench.report.documents import runs as documents
from bench.report.figures import drawing
from bench.report.page import Cell, Page, Patch, Picture, Table
from bench.report.render import html
from bench.report.render.html import Book
from bench.report.render.report import Question, Report, RunGroup, Runs, View
from bench.studies.variant import PAPER
from models.arch import parse_arch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = "4.14.1"
PATCH = "diff --git a/models/blocks.py b/models/blocks.py\n+ <script>document.title = 'run'</script>"
LOG = "\n".join(f"line {number} of the log" for number in range(40))
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1920, "height": 1080}
SIZES = {"phone": PHONE, "desktop": DESKTOP, "wide": WIDE}
SPECS = {name: [PAPER.spec(parse_arch(name), seed) for seed in range(3)] for name in ("plain-20", "resnet-20-A")}
WAITING = PAPER.spec(parse_arch("resnet-56-A"), 7)
"""A run that was started and has no result."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as the command writes it, with made-up runs of the paper's schedule beside the committed ones."""
    command = Command(tmp_path_factory.mktemp("a folder"))
    for name in ("plain-20", "plain-56", "resnet-20-A", "resnet-56-A"):
        for seed in range(3):
            facts = {"code": {"commit": "c" * 40, "patch": PATCH}, "device": {"kind": "cpu", "name": 'R&D "fast"'}}
            spec = PAPER.spec(parse_arch(name), seed)
            run = made_up.run(command.results, spec, 8.6 + 0.1 * seed, facts if name == "resnet-20-A" else None)
            run.folder.log.write_text(LOG)
    (command.results / WAITING.run_id).mkdir()
    (command.results / WAITING.run_id / "log.txt").write_text("out of memory")
    assert f"wrote {command.tables / 'report.html'}" in command("--table", "cifar_depth", "--report").stdout
    return command.tables / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "no test of the report may skip in CI: install chromium"
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> Iterator[Callable[..., Any]]:
    """Open the report as a person does, from its file; whatever it complains of or asks for is in `page.said`."""
    contexts = []

    def open_(viewport: dict[str, int], file: Path = report, **settings: Any) -> Any:
        context = browser.new_context(viewport=viewport, offline=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: message.type in ("error", "warning") and page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: request.url.startswith("blob:") or page.said.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready", timeout=120_000)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def desktop(opened: Callable[..., Any]) -> Any:
    return opened(DESKTOP)


@pytest.fixture(scope="module")
def phone(opened: Callable[..., Any]) -> Any:
    return opened(PHONE, device_scale_factor=2, has_touch=True)


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> Path:
    """axe-core's script, from npm: of the tests alone, and no part of the project."""
    folder = Path(request.config.cache.mkdir("axe"))
    script = folder / f"axe-{AXE}.js"
    if not script.exists():
        if not shutil.which("npm"):
            pytest.skip("needs npm, to fetch axe-core")
        got = subprocess.run(["npm", "pack", f"axe-core@{AXE}"], cwd=folder, capture_output=True, text=True, timeout=60)
        if got.returncode:
            pytest.skip("npm could not fetch axe-core")
        with tarfile.open(folder / f"axe-core-{AXE}.tgz") as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member
            script.write_bytes(member.read())
    return script


def show(page: Any, address: str) -> Any:
    """Go to an address as a link does; returns the view that is shown."""
    page.evaluate("(hash) => { location.hash = hash; }", address)
    page.wait_for_function("(hash) => decodeURIComponent(location.hash) === '#' + hash", arg=address)
    page.wait_for_function("!document.querySelector('.view.shown').dataset.busy")
    (view,) = page.locator(".view:visible").all()
    return view


def cell(page: Any, view: str, net: str, header: str) -> Any:
    """The cell of a page's first table, by its row and column."""
    table = page.locator(f"[id='{view}'] table").first
    headers = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    row = table.locator("tbody tr").filter(has=page.locator("th", has_text=net))
    return row.first.locator("th, td").nth(headers.index(header))


def addresses(page: Any) -> list[str]:
    """Of every view."""
    found = page.eval_on_selector_all(".view:not(#run)", "all => all.map((each) => each.id)")
    return [*found, f"run/{SPECS['plain-20'][0].run_id}"]


def test_it_opens_without_an_error_and_asks_for_nothing(desktop: Any, report: Path) -> None:
    assert desktop.said == [report.as_uri()]
    assert report.stat().st_size < 5_000_000
    assert desktop.title() == "The answer: Deep Residual Learning, measured again"
    for name in ("cifar_depth", "cifar_depth.short", "complexity", "third_party", "throughput"):
        assert desktop.locator(f"[id='{name}'] table").count(), name


def test_it_opens_with_the_answer_in_one_screen_and_two_on_a_phone(desktop: Any, phone: Any) -> None:
    for page, screens in ((desktop, 1), (phone, 2)):
        view = show(page, "answer")
        page.evaluate("scrollTo(0, 0)")
        text = view.inner_text()
        assert text.startswith("Does Deep Residual Learning reproduce?")
        for said in ("Only in part, so far.", "ResNet-1202", "holds", "contradicted", "undecided", "not run", "Fig. 6"):
            assert said in text, said
        last = view.locator(".todo").bounding_box()
        assert last["y"] + last["height"] <= screens * page.viewport_size["height"]
        assert view.locator(".fig6 .series").count() >= 8
    assert "8.70" in cell(desktop, "answer", "ResNet-20", "ours, %").inner_text()
    assert cell(desktop, "answer", "ResNet-20", "verdict").inner_text().strip() == "match"
    assert cell(desktop, "answer", "ResNet-110", "verdict").inner_text().strip() == "missing"
    assert "[" in cell(desktop, "answer", "plain-56", "difference [95 %]").inner_text()
    words = shlex.split(show(desktop, "answer").locator(".todo code").first.inner_text())
    assert parse(words[2:]).table


def test_a_claim_on_the_scoreboard_opens_its_evidence(desktop: Any) -> None:
    show(desktop, "answer").get_by_role("button", name="contradicted at full length").click()
    link = desktop.locator("dialog a", has_text="fewer parameters")
    address = link.get_attribute("href")
    link.click()
    desktop.wait_for_function("document.querySelector('#claims.shown')")
    assert desktop.locator("dialog").count() == 0
    row = desktop.locator(f"[id='{address[1:]}']")
    assert row.evaluate("(row) => row.classList.contains('found-row')")
    assert "contradicted" in row.inner_text()
    assert 0 < row.bounding_box()["y"] < DESKTOP["height"]


def test_each_view_has_an_address_and_the_way_back(opened: Callable[..., Any], report: Path) -> None:
    page = opened(DESKTOP)
    page.goto(f"{report.as_uri()}#claims")  # sent by somebody
    assert page.locator(".view:visible").get_attribute("id") == "claims"
    page.locator("#views a", has_text="Error against depth").click()
    assert page.url.endswith("#cifar_depth")
    assert page.title().startswith("CIFAR-10: error against depth")
    assert page.locator("#views [aria-current=page]").inner_text() == "Error against depth"
    page.locator(".switch a:visible", has_text="short runs").click()
    assert page.locator(".view:visible").get_attribute("id") == "cifar_depth.short"
    page.go_back()
    page.wait_for_function("document.querySelector('.view.shown').id === 'cifar_depth'")
    page.go_back()
    page.wait_for_function("document.querySelector('.view.shown').id === 'claims'")
    show(page, "imagenet_shortcuts")  # nothing is measured of it: a line with its command
    line = page.locator("#imagenet_shortcuts")
    assert line.is_visible()
    assert "python bench/run.py --table imagenet_shortcuts" in line.inner_text()
    assert page.locator("section#imagenet_shortcuts").count() == 0
    assert show(page, "no such view").get_attribute("id") == "answer"


def test_links_within_the_report_lead_somewhere(desktop: Any) -> None:
    targets = desktop.eval_on_selector_all("a[href^='#']", "all => all.map((each) => each.hash.slice(1))")
    ids = desktop.eval_on_selector_all("[id]", "all => all.map((each) => each.id)")
    assert len(ids) == len({*ids})
    assert {"third_party", "missing", "main"} <= {*targets}
    assert {target for target in targets if not target.startswith("run/")} <= {*ids}


def test_the_search_finds_nets_claims_runs_and_views(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP)
    run = SPECS["resnet-20-A"][1].run_id
    for words, kind, address in (
        ("resnet 110", "net", "#cifar_depth.resnet-110"),
        ("starts to learn epochs later", "claim", "#claims.cifar_depth.110-starts-late"),
        (run, "run", f"#run/{run}"),
        ("error against depth", "view", "#cifar_depth"),
        ("bottlenecks", "not measured", "#imagenet_shortcuts"),
    ):
        page.keyboard.press("/")
        page.keyboard.type(words)
        result = page.locator(f"#found a[href='{address}']")
        result.wait_for()
        assert kind in result.inner_text(), words
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.matches('#found a')")
        result.click()
        assert page.locator("#found").is_hidden()
        page.wait_for_function("(hash) => location.hash === hash", arg=address)
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    page.locator("#found", has_text="0 found").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#found").is_hidden()


def test_the_view_of_a_run_has_curve_spec_provenance_and_log(desktop: Any) -> None:
    view = show(desktop, f"run/{SPECS['resnet-20-A'][2].run_id}")
    view.locator("dl").first.wait_for()
    text = view.inner_text()
    for said in (
        "Test error 8.80 %",
        "seed 2",
        "64,000 iterations",
        'R&D "fast"',
        "recipe.lr",
        "torch",
        "line 39 of the log",
    ):
        assert said in text, said
    assert "line 3 of" not in text
    assert view.locator("svg .series").count() == 2
    assert desktop.title().startswith(SPECS["resnet-20-A"][2].run_id)
    view = show(desktop, f"run/{WAITING.run_id}")
    view.get_by_text("out of memory").wait_for()
    assert "no result yet" in view.inner_text()
    view = show(desktop, "run/nobody")
    view.get_by_text("No run of this name").wait_for()
    view = show(desktop, "runs")
    view.get_by_role("button", name="resnet-20-A, cifar10, fp32").click()
    desktop.locator("dialog a", has_text=SPECS["resnet-20-A"][0].run_id).click()
    desktop.wait_for_function("document.querySelector('#run.shown')")


def test_tables_are_sorted_by_mouse_and_keyboard(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP)
    view = show(page, "complexity")
    table = view.locator("table").first
    head = table.locator("thead th").nth(1)
    column = "(table) => [...table.tBodies[0].rows].map((row) => Number(row.cells[1].textContent.replace(/,/g, '')))"
    head.click()
    first = table.evaluate(column)
    assert first in (sorted(first), sorted(first, reverse=True))
    head.focus()
    page.keyboard.press("Enter")
    assert table.evaluate(column) == first[::-1]
    assert head.get_attribute("aria-sort") in ("ascending", "descending")
    verdicts = "(table) => [...table.tBodies[0].rows].map((row) => row.cells[AT].textContent.trim())"
    heads = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    at = next(at for at, text in enumerate(heads) if text.startswith("verdict"))
    verdicts = verdicts.replace("AT", str(at))
    table.locator("thead th").nth(at).click()
    assert table.evaluate(verdicts) in (sorted(v := table.evaluate(verdicts)), sorted(v, reverse=True))


def test_a_table_is_one_stop_of_the_tab_key(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP)
    for address in addresses(page):
        show(page, address)
        stops = page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, input, summary, [tabindex]")].filter((each) =>
                each.checkVisibility() && each.tabIndex >= 0 && !each.disabled).length"""
        )
        assert stops < 150, (address, stops)
    show(page, "cifar_depth.short")
    button = cell(page, "cifar_depth.short", "plain-20", "verdict").locator("button")
    button.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').cells[0].innerText") == "plain-32"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours as `rgb(1, 2, 3)`."""

    def luminance(colour: str) -> float:
        parts = [int(float(part)) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(desktop: Any, scheme: str) -> None:
    desktop.emulate_media(color_scheme=scheme)
    texts = ".verdict, p, td, th, .notes li, a, summary, figcaption, .heading, small, button, dt, dd"
    found = desktop.evaluate(
        """(texts) => [...document.querySelectorAll(texts)].map((each) => {
            const none = "rgba(0, 0, 0, 0)";
            let under = each;
            while (getComputedStyle(under).backgroundColor === none) under = under.parentElement;
            return [getComputedStyle(each).color, getComputedStyle(under).backgroundColor, each.className || each.tagName];
        })""",
        texts,
    )
    back = desktop.evaluate("getComputedStyle(document.body).backgroundColor")
    desktop.emulate_media(color_scheme="light")
    assert (contrast(back, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    assert len(found) > 500
    for colour, under, what in {
        tuple(each) for each in found if each[0].startswith("rgb(") and each[1].startswith("rgb(")
    }:
        assert contrast(colour, under) >= 4.5, (what, colour, under)
    assert contrast("rgb(150, 150, 150)", "rgb(255, 255, 255)") < 4.5


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_axe_finds_nothing_serious(opened: Callable[..., Any], axe: Path, size: str, scheme: str) -> None:
    page = opened(SIZES[size], color_scheme=scheme)
    page.add_script_tag(content=axe.read_text())
    serious = """async (place) => (await axe.run(place, { resultTypes: ["violations"] })).violations.filter(
        ({ impact }) => ["serious", "critical"].includes(impact))"""
    found = {}
    for address in addresses(page) if size == "phone" else ("answer", "cifar_depth", "claims", "missing", "runs"):
        show(page, address)
        for one in page.evaluate(serious, ".view.shown"):
            found[one["id"], address] = [node["html"][:150] for node in one["nodes"][:3]]
    show(page, "cifar_depth").locator("td button").first.click()
    for place in ("dialog", ".bar", "#views"):
        for one in page.evaluate(serious, place):
            found[one["id"], place] = [node["html"][:150] for node in one["nodes"][:3]]
    assert found == {}
    page.evaluate("document.querySelector('dialog').append(document.createElement('button'))")
    assert [one["id"] for one in page.evaluate(serious, "dialog")] == ["button-name"]  # it does look


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_at_any_width(opened: Callable[..., Any], size: str) -> None:
    """The page is no wider than the window, wide tables scroll in their box, and verdicts and names stay in sight."""
    page = opened(SIZES[size])
    width = SIZES[size]["width"]
    for address in addresses(page):
        view = show(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        cut = view.evaluate(
            """(view) => [...view.querySelectorAll("table, figure, pre, svg, img, dl")].filter((each) =>
                each.checkVisibility() && !each.closest(".scroll") && each.getBoundingClientRect().right > innerWidth)
                .map((each) => each.outerHTML.slice(0, 100))"""
        )
        assert cut == [], address
        for seen in view.evaluate(
            """(view) => [...view.querySelectorAll("table")].filter((each) => each.checkVisibility()).flatMap((table) => {
                const all = [...table.querySelectorAll("tbody tr")].map((row) => [row.cells[0], [...row.cells].filter(
                    (each) => each.classList.contains("judged")).at(-1)]).filter(([, judged]) => judged);
                return all.map(([net, judged]) => [net.getBoundingClientRect(), judged.getBoundingClientRect(),
                    judged.querySelector(".verdict")?.getBoundingClientRect().right ?? 0]); })"""
        ):
            net, judged, word = seen
            assert net["left"] >= 0, address
            assert judged["right"] <= width + 1, address
            assert word <= width + 1, address
            assert net["right"] <= judged["left"] + 1 or net["bottom"] <= judged["top"] + 1, address
        if size != "phone":
            figures = view.locator("figure.chart svg").evaluate_all(
                "all => all.map((each) => each.getBoundingClientRect().width / each.closest('.panel').clientWidth)"
            )
            assert all(share > 0.95 for share in figures), address
    marked = page.evaluate(
        """() => [...document.querySelectorAll(".scroll[data-ready]")].filter((each) => each.checkVisibility()).every(
            (each) => (each.scrollWidth > each.clientWidth + 1) === (each.dataset.more !== ""))"""
    )
    assert marked


def test_numbers_of_a_column_stand_under_each_other() -> None:
    texts = ["9.68", "10.10", ">60", "6.61 ± 0.16", "", "not in the paper"]
    table = Table(["net", "paper"], [[Cell("a"), Cell(text)] for text in texts], (1,))
    pads = [row[1] for row in html.padding(table)]
    assert pads == [" ± 0.16", " ± 0.16", ".61 ± 0.16", "", "", ""]


def test_the_menu_of_a_phone_opens_and_closes(phone: Any) -> None:
    show(phone, "answer")
    nav, menu = phone.locator("#views"), phone.get_by_role("button", name="Menu")
    assert not nav.is_visible()
    menu.click()
    assert nav.is_visible()
    assert menu.get_attribute("aria-expanded") == "true"
    nav.get_by_role("link", name="Parameters and multiply-adds").click()
    phone.wait_for_function("document.querySelector('#complexity.shown')")
    assert not nav.is_visible()
    menu.click()
    phone.keyboard.press("Escape")
    assert not nav.is_visible()


def test_a_cell_opens_its_manifest_by_mouse_and_by_keyboard(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    show(page, "cifar_depth")
    button = cell(page, "cifar_depth", "ResNet-20", "ours: test error, last").locator("button")
    assert button.inner_text().startswith("8.70")
    button.click()
    sheet = page.locator("dialog").first
    text = sheet.inner_text()
    for said in (
        "3 runs, seeds 0 to 2",
        *(spec.run_id for spec in SPECS["resnet-20-A"]),
        "c" * 40,
        "torch 2.12.1",
        'R&D "fast"',
        "Batch norm is tested with moving averages",
        "hours",
        "no scheduler",
    ):
        assert said in text, said
    command = sheet.locator("code.language-sh").inner_text()
    options = parse(shlex.split(command)[2:])
    assert list(TABLES["cifar_depth"].plan(options).specs) == SPECS["resnet-20-A"]
    assert options.force
    sheet.get_by_role("button", name="Copy command").first.click()
    sheet.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command.strip()
    sheet.get_by_role("button", name="Patch").click()
    assert "<script>" in page.locator("dialog pre", has_text="diff --git").inner_text()
    assert page.title() != "run"
    for _ in range(2):
        page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0

    button.focus()
    page.keyboard.press("Enter")
    assert sheet.evaluate("(sheet) => sheet.contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert button.evaluate("(button) => document.activeElement === button")
    button.click()
    sheet.get_by_role("link", name=SPECS["resnet-20-A"][0].run_id).click()
    page.wait_for_function("document.querySelector('#run.shown')")


def test_every_manifest_is_there_and_its_command_is_understood(desktop: Any) -> None:
    targets = desktop.eval_on_selector_all("[data-sheet]", "all => all.map((each) => each.dataset.sheet)")
    ids = desktop.eval_on_selector_all("template[id]", "all => all.map((each) => each.id)")
    assert {*targets} <= {*ids}
    commands = desktop.evaluate(
        """() => [document, ...[...document.querySelectorAll("template")].map((each) => each.content)].flatMap((place) =>
            [...place.querySelectorAll("code.language-sh, code.command")].map((each) => each.textContent.trim()))"""
    )
    assert len({*commands}) > 20
    for command in {*commands} - {"make benchmarks"}:
        words = shlex.split(command)
        assert words[:2] == ["python", "bench/run.py"]
        parse(words[2:])
    first = desktop.locator("[id='cifar_depth.short'] table")  # with its details
    filled = first.nth(0).locator("td.number:not(:empty)").or_(first.nth(1).locator("td.number:not(:empty)"))
    assert filled.count() > 50
    assert filled.filter(has_not=desktop.locator("button")).count() == 0


def test_tables_are_tables_to_those_who_hear_them(desktop: Any) -> None:
    assert desktop.locator(".scroll thead th:not([scope=col])").count() == 0
    assert desktop.locator("tbody th:not([scope=row])").count() == 0
    assert desktop.locator(".scroll:not([aria-label])").count() == 0
    show(desktop, "claims")
    assert desktop.locator("h1:visible").count() == 1
    assert desktop.locator("figure [role=img]:not([aria-label])").count() == 0


def hover(page: Any, view: Any, net: str, kind: str, which: int) -> str:
    """What stands beside the mouse on a point of a curve in the second figure; nothing where nothing does."""
    place = (
        view.locator("figure")
        .nth(1)
        .evaluate(
            """(figure, [net, kind, which]) => {
            const group = [...figure.querySelectorAll(".series:not([hidden])")].find(
                ({ dataset }) => dataset.net === net && dataset.kind === kind);
            if (!group) return null;
            const svg = group.ownerSVGElement;
            svg.scrollIntoView({ block: "center", behavior: "instant" });
            const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
            const [x, y] = group.points.at(which).at;
            return [box.left + scale * x, box.top + scale * y];
        }""",
            [net, kind, which],
        )
    )
    if place is None:
        return ""
    page.mouse.move(2, 2)
    page.mouse.move(*place)
    tip = view.locator(".tip:visible")
    return tip.inner_text() if tip.count() else ""


def test_a_hover_shows_values_and_curves_are_switched_off_and_on(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP)
    view = show(page, "cifar_depth.short")
    said = hover(page, view, "plain-56", "test error", -3)
    assert "plain-56, test error" in said
    assert "69.47" in said  # of the committed run, at iteration 3,519
    assert "3.519" in said
    assert "the paper's test error" in hover(page, view, "ResNet-20", "the paper's test error", -20)
    figure = view.locator("figure").nth(1)
    shown = """(figure) => [...figure.querySelectorAll(".series:not([hidden])")].map(
        ({ dataset }) => [dataset.net, dataset.kind])"""
    before = figure.evaluate(shown)
    figure.get_by_label("plain-56").uncheck()
    assert {net for net, _ in before} - {net for net, _ in figure.evaluate(shown)} == {"plain-56"}
    assert hover(page, view, "plain-56", "test error", -6) == ""
    figure.get_by_label("the paper's training error").press("Space")  # by keyboard
    assert not any(kind == "the paper's training error" for _, kind in figure.evaluate(shown))
    figure.get_by_label("plain-56").check()
    figure.get_by_label("the paper's training error").check()
    assert figure.evaluate(shown) == before


def test_it_prints_the_answer_first_on_fewer_than_60_sheets(opened: Callable[..., Any]) -> None:
    page = opened({"width": 1032, "height": 700})  # the text of a page of A4 on its side
    show(page, "cifar_depth").locator("input[data-net=ResNet-20]").first.uncheck()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main :is(table, svg, img)")].filter((each) => !each.closest(".unprinted"))
        .map((each) => [each.getBoundingClientRect().right, each.getBoundingClientRect().height, each.outerHTML.slice(0, 90)])
        .filter(([right, height]) => right > innerWidth + 1 || height < 10)"""
    )
    assert cut == []
    assert page.locator(".panel > svg").count() == page.locator("section:not(.unprinted) .panel").count() > 10
    assert page.locator("#views:visible, .bar:visible, .switches input:visible, button.copy:visible").count() == 0
    first = page.locator("figure:has(input[data-net=ResNet-20])").first
    names = [name.strip() for name in first.locator(".switches label:visible").all_inner_texts()]
    assert "ResNet-56" in names
    assert "ResNet-20" not in names  # switched off above, and so not drawn
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert 8 < sheets(page) < 60
    assert 8 < sheets(opened(DESKTOP)) < 60


def sheets(page: Any) -> int:
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    return sum(paper.count(b"/Type /Page" + end) for end in (b"\n", b" ", b"/"))


def alone(page: Page, *others: Page, **more: Any) -> Report:
    """A report of these pages alone."""
    return Report(None, [Question("Which?", [View(each.name, each.title, [each]) for each in (page, *others)])], **more)


def test_ten_thousand_runs_stay_under_five_megabytes(opened: Callable[..., Any], tmp_path: Path) -> None:
    """Their names are all there to be found; records as far as there is room."""
    known = documents._Shared()
    run = made_up.run(tmp_path / "results", SPECS["plain-20"][0], 8.6)
    ids = [f"plain-20-s{number}-{number * 7919:08x}" for number in range(10_000)]
    one = documents.record(run, known)
    records = documents._within({**one, "id": id_, "seed": at} for at, id_ in enumerate(ids))
    chunks = [{record["id"]: record for record in records}]
    chunks = [dict([*chunks[0].items()][at : at + documents.CHUNK]) for at in range(0, len(chunks[0]), documents.CHUNK)]
    group = RunGroup("plain-20, cifar10, fp32", ids, ["10000", "8.60 ± 0.10"])
    text = html.render(alone(Page("claims", "Claims", ["Words."]), runs=Runs([group], known.values, chunks)))
    assert 100_000 < len(text) < 3_000_000
    assert 300 < sum(map(len, chunks)) < 10_000
    file = tmp_path / "report.html"
    file.write_text(text)
    page = opened(DESKTOP, file)
    page.keyboard.press("/")
    page.keyboard.type(ids[9_876])
    page.locator(f"#found a[href='#run/{ids[9_876]}']").click()
    page.get_by_text("The file has no room for the record").wait_for()
    show(page, f"run/{ids[100]}").locator("svg .series").first.wait_for()


def test_a_curve_is_thinned_out_and_keeps_its_end() -> None:
    points = [{"iteration": i, "test_error": i / 7, "train_error": None} for i in range(1, 1001)]
    kept = documents.curve(points)
    assert len(kept["iteration"]) <= documents.POINTS
    assert kept["iteration"][-1] == 1000
    assert kept["test_error"][-1] == 142.86
    assert {*kept["train_error"]} == {None}
    assert documents.curve([]) == {"iteration": [], "test_error": [], "train_error": []}


def test_an_empty_page_is_a_line_with_its_command() -> None:
    def page(name: str, *words: str, lacks: str = "python bench/run.py --table warmup") -> Page:
        rows = [[Cell("a"), Cell(word, word)] for word in words]
        return Page(name, name, [Table(["net", "verdict"], rows, command=lacks)])

    made = [
        page("warmup", "missing"),
        page("warmup.short", "match", "missing"),
        page("new", "match", lacks=""),
        page("old", lacks=""),
    ]
    found = views.questions(made, {"warmup": "Warm-up"})
    assert [(view.title, [page.name for page in view.pages]) for group in found for view in group.views] == [
        ("Warm-up", ["warmup.short"]),
        ("new", ["new"]),
        ("old", ["old"]),
    ]
    lines = [(line.name, line.what, line.page, line.command) for line in views.missing(made)]
    command = "python bench/run.py --table warmup"
    assert lines == [("warmup", "all 1 rows", False, command), ("warmup.short", "1 of 2 rows", True, command)]


@pytest.mark.parametrize(
    ("words", "missing", "said"),
    [
        ({}, 12, "Not known yet"),
        ({"match": 2}, 10, "So far, yes, but most of it is not measured yet."),
        ({"match": 8, "consistent": 2}, 2, "So far, yes."),
        ({"match": 12}, 0, "Yes."),
        ({"match": 11, "worse": 1}, 0, "Only in part."),
        ({"match": 1, "differs": 1}, 10, "Only in part, so far."),
        ({"worse": 1}, 11, "No, so far."),
        ({"undecided": 3}, 9, "Not decided yet"),
    ],
)
def test_the_answer_follows_from_the_verdicts(words: dict[str, int], missing: int, said: str) -> None:
    assert answer._said(words, {}, missing).startswith(said)


def test_every_table_answers_a_question() -> None:
    assert {table for tables in views.QUESTIONS.values() for table in tables} == TABLES.keys()


def test_committed_pictures_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes longer than all else of the report; the files are embedded as they are."""
    monkeypatch.setattr(drawing, "save", lambda *_: pytest.fail("a picture is drawn"))
    text = write_report(tmp_path, tmp_path).read_text()
    figures = pages.MEASURED.parent / "figures"
    names = ("throughput", "gradients.short", "gradients.short.signals", "loss_surface.short.contours")
    for name in (*names, "loss_surface.short.surface"):
        assert html.packed((figures / f"{name}.svg").read_text()) in text, name


def test_a_picture_is_kept_with_its_page_alone(tmp_path: Path) -> None:
    """Beside a page that says something else it is of other numbers; what is no picture is named."""
    import matplotlib.pyplot as plt

    def page(words: str) -> Page:
        return Page("loss_surface", "Loss", [words, Picture("loss_surface.x", "alt", "caption", plt.figure)])

    pages.put(page("one"), tmp_path)
    drawn = tmp_path / "figures" / "loss_surface.x.svg"
    assert pages.drawn_before([page("one")], tmp_path / "none", tmp_path) == {"loss_surface.x": drawn}
    assert pages.drawn_before([page("two")], tmp_path) == {}
    drawn.write_text("<svg/>")
    with pytest.raises(UserError, match=r"loss_surface\.x\.svg is no figure of this harness: remove it"):
        html.render(alone(page("one")), pages.drawn_before([page("one")], tmp_path))
    drawn.unlink()
    assert pages.drawn_before([page("one")], tmp_path) == {}


def test_a_page_of_words_alone_is_shown_too() -> None:
    """What a new table needs at the least: Markdown."""
    words = (
        "See [others](third_party.md) and <script>alert(1)</script>.\n\n## Part\n\n| net | p |\n|:--|--:|\n| a | 0.05 |"
    )
    text = html.render(alone(Page("claims", "Claims", [words]), Page("third_party", "Others", [])))
    assert '<section class="view" id="claims"' in text
    assert '<a href="#third_party">others</a> and &lt;script&gt;alert(1)&lt;/script&gt;' in text
    assert "<h2>Part</h2>" in text
    assert 'scope="col">net</th>' in text
    assert ">0.05</td>" in text


def test_the_licences_of_what_is_not_ours_are_kept() -> None:
    vendor = html.TEMPLATES / "vendor"
    scripts = [path.name for path in vendor.glob("*.js")]
    assert [name for name in html.SCRIPTS if name.startswith("vendor/")] == [
        f"vendor/{name}" for name in sorted(scripts)
    ]
    for name in scripts:
        assert re.search(r"-\d+\.\d+\.\d+\.min\.js$", name)
        (licence,) = vendor.glob(f"{name.partition('-')[0]}.LICEN*")
        assert "Permission is hereby granted, free of charge" in licence.read_text()


def test_long_and_many_patches_do_not_fill_the_file() -> None:
    book = Book()
    patches = [Patch("title", f"{number} " + "x" * 100_000) for number in range(30)]
    assert [book.patch(patch) for patch in (*patches, patches[3])][-2:] == ["p29", "p3"]
    shown = [book.shown(patch) for patch in patches]
    assert sum(map(len, shown)) < 1_100_000
    assert "50,002 characters more" in shown[0]
    assert "provenance.json" in shown[29]


def test_records_share_what_runs_have_in_common(tmp_path: Path) -> None:
    known = documents._Shared()
    first, second = (documents.record(made_up.run(tmp_path, spec, 8.6), known) for spec in SPECS["plain-20"][:2])
    assert first["spec"] == second["spec"]
    assert first["facts"] == second["facts"]
    assert [first["seed"], second["seed"]] == [0, 1]
    assert len(json.dumps(first)) < 2_500
