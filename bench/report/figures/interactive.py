"""Charts for HTML: plain values, which report.js hands to Bokeh's script in the browser."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

from bench.report.figures.chart import Chart

SCRIPTS = ("bokeh.min.js", "bokeh-api.min.js")


def library() -> str:
    """Bokeh's script, whole, to stand inside of a page."""
    from importlib.resources import files

    folder = files("bokeh") / "server" / "static" / "js"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)


def values(chart: Chart) -> list[dict[str, Any]]:
    """Each panel as JSON has it."""
    return [_plain(panel) for panel in chart.panels]


def _plain(value: Any) -> Any:
    """Numbers rounded to what a screen can show; null where there is none."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
