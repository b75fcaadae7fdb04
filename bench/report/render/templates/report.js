// Draws each chart with Bokeh, shows values under the mouse, hides what is switched off, and draws once more for paper.
"use strict";

const FONT = "system-ui, sans-serif";
const INK = "#404040";

function draw(panel, place) {
  const { x, y } = panel;
  const range = (axis) => new Bokeh.Range1d({ start: axis.low, end: axis.high });
  const plot = Bokeh.Plotting.figure({
    height: 285, sizing_mode: "stretch_width", tools: "", toolbar_location: null,
    title: panel.title, x_range: range(x), y_range: range(y),
    x_axis_type: x.log ? "log" : "linear", y_axis_type: y.log ? "log" : "linear",
    background_fill_color: null, border_fill_color: null, outline_line_color: null,
  });
  plot.title.setv({ align: "center", text_font: FONT, text_font_style: "normal", text_font_size: "14px" });
  plot.grid.grid_line_color = "#ececec";
  for (const [side, grid, axis] of [[plot.xaxis, plot.xgrid, x], [plot.yaxis, plot.ygrid, y]]) dress(side, grid, axis);
  for (const mark of panel.marks) plot.line([mark, mark], [y.low, y.high], { line_color: "#d0d0d0" });
  if (panel.identity) plot.line([x.low, x.high], [y.low, y.high], { line_color: "#909090" });
  const drawn = panel.series.toSorted((a, b) => a.style.order - b.style.order).flatMap((each) => curve(plot, each));
  const tooltips = [["", "@net, @kind"], [x.label, "@x{%.4g}"], [y.label, "@y{%.4g}@interval"]];
  const points = drawn.filter((each) => each.tags[2]);
  plot.add_tools(new Bokeh.HoverTool({ renderers: points, tooltips, formatters: { "@x": "printf", "@y": "printf" } }));
  return Bokeh.Plotting.show(plot, place).then((view) => {
    addEventListener("beforeprint", () => place.append(onPaper(view)));
    addEventListener("afterprint", () => place.querySelector(".paper")?.remove());
    return drawn.map((renderer) => ({ renderer, view }));
  });
}

// Bokeh's canvas keeps the window's size on paper; lines and letters take the sheet's.
function onPaper(view) {
  const svg = view.export("svg", false).canvas;
  svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
  svg.setAttribute("preserveAspectRatio", "xMinYMid");
  svg.setAttribute("class", "paper");
  return svg;
}

function dress(side, grid, axis) {
  side.axis_label = axis.label;
  for (const text of ["axis_label", "major_label"]) {
    side[`${text}_text_font`] = FONT;
    side[`${text}_text_font_size`] = "12.5px";
    side[`${text}_text_color`] = INK;
  }
  side.axis_label_text_font_style = "normal";
  side.axis_line_color = side.major_tick_line_color = INK;
  side.minor_tick_line_color = null;
  if (axis.ticks.length) {
    side.ticker = grid.ticker = new Bokeh.FixedTicker({ ticks: axis.ticks });
    side.major_label_overrides = new Map(axis.ticks.map((tick) => [tick, String(tick)]));
  }
}

// A series with its band or intervals. Points answer to the mouse; those of a curve are seen only under it.
function curve(plot, series) {
  const { colour, style, low, high } = series;
  const drawn = [];
  const keep = (renderer, answers) => {
    renderer.tags = [series.net, series.kind, answers];
    drawn.push(renderer);
  };
  const sure = series.x.map((_, i) => i).filter((i) => low.length && low[i] !== null);
  const of = (values) => sure.map((i) => values[i]);
  if (style.marker && sure.length) {
    keep(plot.segment(of(series.x), of(low), of(series.x), of(high), { line_color: colour, line_width: 1.5 }), false);
  } else if (sure.length) {
    keep(plot.varea(of(series.x), of(low), of(high), { fill_color: colour, fill_alpha: 0.15 }), false);
  }
  if (style.width) {
    const look = { line_color: colour, line_width: style.width, line_dash: style.dash, line_alpha: style.opacity };
    keep(plot.line(series.x, series.y, look), false);
  }
  const source = new Bokeh.ColumnDataSource({ data: {
    x: series.x, y: series.y,
    net: series.x.map((_, i) => series.names[i] ?? series.net),
    kind: series.x.map(() => series.kind),
    interval: series.x.map((_, i) => sure.includes(i) ? ` (${low[i]} to ${high[i]})` : ""),
  } });
  const seen = style.marker !== "";
  keep(plot.scatter({ field: "x" }, { field: "y" }, {
    source, marker: style.marker || "circle", size: seen ? 9 : 11, line_width: 1.5,
    line_color: seen ? colour : null, fill_color: seen && style.filled ? colour : null,
    hover_line_color: colour, hover_fill_color: colour,
  }), true);
  return drawn;
}

async function show(figure) {
  if (figure.matches(".picture")) {
    figure.drawn = [];
    return;
  }
  const places = figure.querySelectorAll(".panel");
  const panels = JSON.parse(figure.querySelector("script").textContent);
  const drawn = (await Promise.all(panels.map((panel, i) => draw(panel, places[i])))).flat();
  const off = (name) =>
    new Set([...figure.querySelectorAll(`input[data-${name}]:not(:checked)`)].map((box) => box.dataset[name]));
  figure.querySelector(".switches").addEventListener("change", () => {
    const [nets, kinds] = [off("net"), off("kind")];
    for (const { renderer } of drawn) renderer.visible = !nets.has(renderer.tags[0]) && !kinds.has(renderer.tags[1]);
  });
  figure.drawn = drawn;
}

(async () => {
  for (const figure of document.querySelectorAll("figure")) await show(figure);
})();
