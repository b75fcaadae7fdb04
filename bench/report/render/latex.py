"""The main tables for a paper written in LaTeX: booktabs, siunitx, the published number beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.report.page import Page, Value

HEAD = "% Needs \\usepackage{booktabs} and \\usepackage{siunitx}.\n"
NOTHING = "{--}"
HEADS = ("net", "{paper}", "{ours}", r"{95 \% interval}", "{s.d.}", "{seeds}", "{difference}", "verdict")
INTERVAL = 3
SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def render(pages: Iterable[Page]) -> str:
    """A table for each quantity that has published numbers and verdicts on them, page by page; the empty text for none."""
    found = [
        _table(page, values)
        for page in pages
        if page.name.split(".")[0] != "claims"  # its published numbers are bounds
        for values in _by_quantity(page.values)
    ]
    return "\n".join([HEAD, *found]) if found else ""


def _by_quantity(values: Iterable[Value]) -> list[list[Value]]:
    """The judged values of each quantity and condition that the paper prints, in order."""
    found: dict[tuple[str, str], list[Value]] = {}
    for value in values:
        if value.published and value.verdict:
            found.setdefault((value.quantity, value.unit), []).append(value)
    return list(found.values())


def _table(page: Page, values: Sequence[Value]) -> str:
    power = _power(values)
    scale, rows = 10.0**power, []
    for value in values:
        name = ", ".join(filter(None, (value.net, value.condition, value.precision.replace("fp32", ""))))
        rows.append(
            [
                escaped(name),
                _published(value.published, scale),
                _number(value.measured, scale),
                _interval(value, scale),
                _number(value.spread, scale),
                str(value.seeds) if value.seeds else NOTHING,
                _number(value.difference, scale, "+"),
                escaped(value.verdict),
            ]
        )
    columns = [
        "r" if i == INTERVAL else f"S[table-format={_format([row[i] for row in rows])}]"
        for i in range(1, len(HEADS) - 1)
    ]
    unit = "" if power else f" ({escaped(values[0].unit)})"
    unit = f" ($10^{power}$)" if power else unit
    lines = [" & ".join(line) + r" \\" for line in (HEADS, *rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escaped(page.title)}: {escaped(values[0].quantity)}{unit}}}",
            rf"  \label{{tab:{_label(page.name)}-{_label(values[0].quantity)}}}",
            rf"  \begin{{tabular}}{{l {' '.join(columns)} l}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _power(values: Sequence[Value]) -> int:
    """Counts are shown in millions or in thousands of millions, as the paper does; error rates as they are."""
    most = max((value.measured or 0 for value in values), default=0)
    return 9 if most >= 1e9 else 6 if most >= 1e5 else 0


def _published(text: str, scale: float) -> str:
    """The printed digits; a bound such as `>60` is no number to siunitx."""
    if not re.fullmatch(r"[\d.]+", text):
        return f"{{{escaped(text)}}}" if text[0] not in "<>" else f"{{${text}$}}"
    return text if scale == 1 else f"{float(text) / scale:.4g}"


def _number(value: float | None, scale: float, sign: str = "") -> str:
    return NOTHING if value is None else f"{value / scale:{sign}.2f}"


def _interval(value: Value, scale: float) -> str:
    """`[8.20, 8.60]`: the 95 % interval of ours."""
    if value.low is None or value.high is None:
        return NOTHING
    return f"{{[{_number(value.low, scale)}, {_number(value.high, scale)}]}}"


def _format(cells: Sequence[str]) -> str:
    """How siunitx aligns a column: digits before and after the point, with room for a sign."""
    numbers = [cell for cell in cells if not cell.startswith("{")]
    before = max((len(number.lstrip("+-").partition(".")[0]) for number in numbers), default=1)
    after = max((len(number.partition(".")[2]) for number in numbers), default=0)
    sign = "+" if any(number[0] in "+-" for number in numbers) else ""
    return f"{sign}{before}.{after}"


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def escaped(text: str) -> str:
    """The text without Markdown's code marks, as LaTeX prints it."""
    return "".join(SPECIAL.get(sign, sign) for sign in text.replace("`", ""))
