"""report.html in a real browser: Debian's chromium, without a screen and without a network."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
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
from bench.report.figures import drawing
from bench.report.page import Page, Patch, Picture
from bench.report.render import html
from bench.report.render.html import Book
from bench.studies.variant import PAPER
from models.arch import parse_arch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATCH = "diff --git a/models/blocks.py b/models/blocks.py\n+ <script>document.title = 'run'</script>"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
DRAWN = "[...document.querySelectorAll('figure')].every((figure) => figure.drawn)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as the command writes it, with made-up runs of the paper's schedule beside the committed ones."""
    command = Command(tmp_path_factory.mktemp("a folder"))
    for name in ("plain-20", "plain-56", "resnet-20-A", "resnet-56-A"):
        for seed in range(3):
            facts = {"code": {"commit": "c" * 40, "patch": PATCH}, "device": {"kind": "cpu", "name": 'R&D "fast"'}}
            spec = PAPER.spec(parse_arch(name), seed)
            made_up.run(command.results, spec, 8.6 + 0.1 * seed, facts if name == "resnet-20-A" else None)
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

    def open_(viewport: dict[str, int], **settings: Any) -> Any:
        context = browser.new_context(viewport=viewport, offline=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: message.type in ("error", "warning") and page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.said.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_function(DRAWN, timeout=120_000)
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


def cell(page: Any, section: str, net: str, header: str) -> Any:
    """The cell of a page's first table, by its row and column."""
    table = page.locator(f"#{section} table").first
    headers = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    row = table.locator("tbody tr").filter(has=page.locator("th", has_text=net))
    return row.first.locator("th, td").nth(headers.index(header))


def test_it_opens_without_an_error_and_asks_for_nothing(desktop: Any, report: Path) -> None:
    assert desktop.said == [report.as_uri()]
    assert desktop.title() == "Deep Residual Learning, measured again"
    assert report.stat().st_size < 5_000_000
    for name in ("cifar_depth", "cifar_depth-short", "complexity", "third_party", "throughput", "imagenet_multiscale"):
        assert desktop.locator(f"#{name.replace('_', '-')} table").count(), name


def test_every_table_has_its_verdicts_in_words_and_colour(desktop: Any) -> None:
    match = cell(desktop, "complexity", "ResNet-101 B", "verdict")
    assert cell(desktop, "cifar-depth", "ResNet-20", "verdict").inner_text().strip() == "match"
    differs = desktop.locator("#complexity .verdict.differs").first
    assert differs.inner_text() == "differs"
    colours = desktop.evaluate(
        """() => ["match", "better", "worse", "differs", "undecided", "missing"].map((word) => {
        const span = document.querySelector(".tally .verdict." + word);
        return getComputedStyle(span).color; })"""
    )
    assert len(set(colours)) == 5  # worse and differs are one; the words and the signs tell them apart
    assert match.count() == 1


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
    texts = ".verdict, p, td, thead th, .notes li, a, summary, .sheet .close, figcaption, .heading"
    found = desktop.evaluate(
        """(texts) => [...document.querySelectorAll(texts)].map((each) => {
            const none = "rgba(0, 0, 0, 0)";
            let under = each;
            while (getComputedStyle(under).backgroundColor === none) under = under.parentElement;
            return [getComputedStyle(each).color, getComputedStyle(under).backgroundColor, each.className || each.tagName];
        })""",
        texts,
    )
    desktop.emulate_media(color_scheme="light")
    assert len(found) > 500
    for colour, back, what in {tuple(each) for each in found}:
        assert contrast(colour, back) >= 4.5, (what, colour, back)
    assert contrast("rgb(150, 150, 150)", "rgb(255, 255, 255)") < 4.5


POINT = """([figure, net, kind, which]) => {
    const { renderer, view } = document.querySelectorAll("#cifar-depth-short figure")[figure].drawn.find(
        ({ renderer }) => renderer.tags[0] === net && renderer.tags[1] === kind && renderer.tags[2]);
    view.el.scrollIntoView({ block: "center", behavior: "instant" });
    const { x, y } = renderer.data_source.data, at = x.length + which, box = view.el.getBoundingClientRect();
    return [box.left + view.frame.x_scale.compute(x[at]), box.top + view.frame.y_scale.compute(y[at])];
}"""
"""Where a point of a curve is on the screen; `which` counts from its end."""


def hover(page: Any, *what: Any) -> str:
    """What stands beside the mouse on a point; nothing where nothing does."""
    page.mouse.move(2, 2)
    page.wait_for_function("() => true")
    x, y = page.evaluate(POINT, list(what))
    page.mouse.move(x - 40, y - 40)
    page.mouse.move(x, y)
    tip = page.locator(".bk-tooltip-content")
    try:
        tip.first.wait_for(timeout=2_000)
    except Exception:
        return ""
    box = tip.first.bounding_box()
    assert abs(box["x"] + box["width"] / 2 - x) < 300  # beside the mouse, and not a sheet of its own
    assert box["width"] < 400
    return " ".join(tip.all_inner_texts())


def test_a_hover_shows_values(desktop: Any) -> None:
    said = hover(desktop, 1, "plain-56", "test error", -3)
    assert "plain-56, test error" in said
    assert "69.47" in said  # of the committed run, at iteration 3,519
    assert "3.519" in said
    assert "the paper's test error" in hover(desktop, 1, "ResNet-20", "the paper's test error", -20)


def test_curves_are_switched_off_and_on(desktop: Any) -> None:
    figure = desktop.locator("#cifar-depth-short figure").nth(1)
    shown = "(figure) => figure.drawn.filter(({ renderer }) => renderer.visible).map(({ renderer }) => renderer.tags)"
    before = figure.evaluate(shown)
    picture = figure.screenshot()
    figure.get_by_label("plain-56").uncheck()
    assert {tags[0] for tags in before} - {tags[0] for tags in figure.evaluate(shown)} == {"plain-56"}
    assert figure.screenshot() != picture
    assert "plain-56" not in hover(desktop, 1, "plain-56", "test error", -6)
    figure.get_by_label("the paper's training error").press("Space")  # by keyboard
    assert not any(tags[1] == "the paper's training error" for tags in figure.evaluate(shown))
    figure.get_by_label("plain-56").check()
    figure.get_by_label("the paper's training error").check()
    assert figure.evaluate(shown) == before


def test_a_cell_opens_its_manifest_by_mouse_and_by_keyboard(desktop: Any) -> None:
    button = cell(desktop, "cifar-depth", "ResNet-20", "ours: test error, last").locator("button")
    assert button.inner_text().startswith("8.70")
    sheet = desktop.locator(f"#{button.get_attribute('popovertarget')}")
    assert not sheet.is_visible()
    button.click()
    assert sheet.is_visible()
    text = sheet.inner_text()
    specs = [PAPER.spec(parse_arch("resnet-20-A"), seed) for seed in range(3)]
    for said in (
        "3 runs, seeds 0 to 2",
        *(spec.run_id for spec in specs),
        "c" * 40,
        "torch 2.12.1",
        'R&D "fast"',
        "Batch norm is tested with moving averages",
        "hours",
        "no scheduler",
    ):
        assert said in text, said
    options = parse(shlex.split(sheet.locator("code.language-sh").inner_text())[2:])
    assert list(TABLES["cifar_depth"].plan(options).specs) == specs
    assert options.force
    sheet.get_by_role("button", name="Patch").click()
    patch = desktop.locator(".sheet pre", has_text="diff --git")
    assert "<script>" in patch.inner_text()
    assert desktop.title() != "run"
    for _ in range(2):
        desktop.keyboard.press("Escape")
    assert not sheet.is_visible()

    button.focus()
    desktop.keyboard.press("Enter")
    assert sheet.is_visible()
    assert sheet.evaluate("(sheet) => sheet.contains(document.activeElement)")
    desktop.keyboard.press("Escape")
    assert not sheet.is_visible()
    assert button.evaluate("(button) => document.activeElement === button")


def test_every_manifest_is_there_and_its_command_is_understood(desktop: Any) -> None:
    targets = desktop.eval_on_selector_all(
        "[popovertarget]", "all => all.map((each) => each.getAttribute('popovertarget'))"
    )
    ids = desktop.eval_on_selector_all("[id]", "all => all.map((each) => each.id)")
    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)
    commands = set(
        desktop.eval_on_selector_all("code.language-sh", "all => all.map((each) => each.textContent.trim())")
    )
    assert len(commands) > 20
    for command in commands - {"make benchmarks"}:
        words = shlex.split(command)
        assert words[:2] == ["python", "bench/run.py"]
        parse(words[2:])
    table = desktop.locator("#cifar-depth-short table").first
    filled = table.locator("td.number:not(:empty)")
    assert filled.count() > 50
    assert filled.filter(has_not=desktop.locator("button")).count() == 0


def test_links_within_the_report_lead_somewhere(desktop: Any) -> None:
    targets = desktop.eval_on_selector_all(
        "a[href^='#']", "all => all.map((each) => each.getAttribute('href').slice(1))"
    )
    ids = desktop.eval_on_selector_all("[id]", "all => all.map((each) => each.id)")
    assert "third-party" in targets
    assert set(targets) <= set(ids)


def test_tables_are_tables_to_those_who_hear_them(desktop: Any) -> None:
    assert desktop.locator("thead th:not([scope=col])").count() == 0
    assert desktop.locator("tbody th:not([scope=row])").count() == 0
    assert desktop.locator(".scroll:not([aria-label])").count() == 0
    assert desktop.locator("h1").count() == 1
    assert desktop.locator("figure [role=img]:not([aria-label])").count() == 0


def test_it_is_readable_on_a_phone(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = phone.evaluate(
        """() => [...document.querySelectorAll("main .scroll")]
            .filter((each) => each.offsetParent && each.scrollWidth > each.clientWidth)
            .map((each) => [each, each.querySelector("td")].map((part) => getComputedStyle(part)))
            .map(([outer, cell]) => [outer.overflowX, parseFloat(cell.fontSize)])"""
    )
    assert len(wide) >= 5
    assert all(overflow == "auto" and size >= 12 for overflow, size in wide)
    names = "all => Math.max(...all.map((each) => each.getBoundingClientRect().width))"
    assert phone.eval_on_selector_all("main tbody th", names) <= PHONE["width"] / 2  # room beside what stays in place
    ours = cell(phone, "cifar-depth-short", "ResNet-56", "verdict")
    ours.scroll_into_view_if_needed()
    box, net = ours.bounding_box(), cell(phone, "cifar-depth-short", "ResNet-56", "net").bounding_box()
    assert 0 <= box["x"] <= PHONE["width"] - box["width"] + 1
    assert 0 <= net["x"] < 30  # its net stays beside it
    assert net["x"] + net["width"] <= box["x"] + 1
    ours.locator("button").click()
    sheet = phone.locator(".sheet:popover-open")
    assert sheet.bounding_box()["width"] <= PHONE["width"]
    command = sheet.locator("pre").first
    assert command.evaluate("(each) => each.scrollWidth <= each.clientWidth")  # all of it is seen
    sheet.get_by_role("button", name="Close").click()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_it_prints(opened: Callable[..., Any]) -> None:
    page = opened({"width": 1032, "height": 700})  # the text of a page of A4 on its side
    page.emulate_media(media="print")
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main table, .tally")].filter((each) => each.closest(".sheet") === null)
        .map((each) => [each.getBoundingClientRect().right, each.getBoundingClientRect().height, each.rows[0].innerText])
        .filter(([right, height]) => right > innerWidth + 1 || height < 10)"""
    )
    assert cut == []
    assert page.locator(".sheet:visible").count() == 0
    assert 8 < sheets(page) == sheets(opened(DESKTOP)) < 60  # on paper no window is wider than another


def test_charts_on_paper_are_drawn_for_it_with_what_their_colours_mean(opened: Callable[..., Any]) -> None:
    page = opened(DESKTOP)
    page.locator("[data-net=ResNet-20]").first.uncheck()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    panels = page.locator(".panel").count()
    assert page.locator(".panel > .paper:visible").count() == panels > 10
    assert page.locator(".panel > :not(.paper):visible, .switches input:visible").count() == 0
    assert page.locator(".paper path").count() > 10 * panels
    too_wide = (
        "[...document.querySelectorAll('.paper')].filter((each) => each.getBoundingClientRect().right > innerWidth)"
    )
    assert page.evaluate(too_wide) == []
    first = page.locator("figure:has([data-net=ResNet-20])").first
    names = first.locator(".switches label:visible").all_inner_texts()
    assert "ResNet-56" in [name.strip() for name in names]
    assert "ResNet-20" not in [name.strip() for name in names]  # switched off above, and so not drawn
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".paper").count() == 0


def sheets(page: Any) -> int:
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    return sum(paper.count(b"/Type /Page" + end) for end in (b"\n", b" ", b"/"))


def test_committed_pictures_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes longer than all else of the report; the files are embedded as they are."""
    monkeypatch.setattr(drawing, "save", lambda *_: pytest.fail("a picture is drawn"))
    text = write_report(tmp_path, tmp_path).read_text()
    figures = pages.MEASURED.parent / "figures"
    names = ("throughput", "gradients.short", "gradients.short.signals", "loss_surface.short.contours")
    for name in (*names, "loss_surface.short.surface"):
        assert base64.b64encode((figures / f"{name}.svg").read_bytes()).decode() in text, name


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
        html.render([page("one")], pages.drawn_before([page("one")], tmp_path))
    drawn.unlink()
    assert pages.drawn_before([page("one")], tmp_path) == {}


def test_a_page_of_words_alone_is_shown_too() -> None:
    """What a new table needs at the least: Markdown."""
    words = (
        "See [others](third_party.md) and <script>alert(1)</script>.\n\n## Part\n\n| net | p |\n|:--|--:|\n| a | 0.05 |"
    )
    text = html.render([Page("claims", "Claims", [words]), Page("third_party", "Others", [])]).partition("<script>")[0]
    assert '<section id="claims"' in text
    assert '<a href="#third-party">others</a> and &lt;script&gt;alert(1)&lt;/script&gt;' in text
    assert "<h3>Part</h3>" in text
    assert 'tabindex="0"><table>' in text
    assert '<th scope="col"' in text
    assert ">0.05</td>" in text


def test_long_and_many_patches_do_not_fill_the_file() -> None:
    book = Book()
    patches = [Patch("title", f"{number} " + "x" * 100_000) for number in range(30)]
    assert [book.patch(patch) for patch in (*patches, patches[3])][-2:] == ["p29", "p3"]
    shown = [book.shown(patch) for patch in patches]
    assert sum(map(len, shown)) < 1_100_000
    assert "50,002 characters more" in shown[0]
    assert "provenance.json" in shown[29]
