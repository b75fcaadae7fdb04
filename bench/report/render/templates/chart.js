// Draws a chart's panels as SVG: lines, bands, points and their intervals on linear or logarithmic axes, with a hint at the mouse.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const INK = "#404040";
const MARGIN = { top: 26, right: 12, bottom: 44, left: 52 };
const DASHES = { solid: "", dashed: "6 4", dotted: "2 3" };
const SHAPES = {
  circle: "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z", square: "M-4,-4H4V4H-4z", diamond: "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
  triangle: "M0,-5L5,4H-5z", inverted_triangle: "M0,5L5,-4H-5z", x: "M-4,-4L4,4M-4,4L4,-4",
};

function make(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// From a value on an axis to pixels.
function scale(axis, from, to) {
  const of = axis.log ? Math.log10 : (value) => value;
  const [low, high] = [of(axis.low), of(axis.high)];
  return (value) => from + ((of(value) - low) / (high - low)) * (to - from);
}

// The values that an axis marks: its own, or round ones, about `wanted` of them.
function ticks(axis, wanted) {
  if (axis.ticks.length) return thin(axis.ticks, 2 * wanted);
  if (axis.log) {
    const first = Math.ceil(Math.log10(axis.low) - 1e-9), last = Math.floor(Math.log10(axis.high) + 1e-9);
    return thin(Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => 10 ** (first + i)), wanted);
  }
  const rough = (axis.high - axis.low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const found = [];
  for (let at = Math.ceil(axis.low / step - 1e-9) * step; at <= axis.high + 1e-9 * step; at += step) found.push(at);
  return found;
}

const thin = (values, most) => values.filter((_, i) => i % Math.ceil(values.length / most) === 0);

function label(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10000 && size < 1e6 && value % 1000 === 0) return `${value / 1000}k`;
  return size >= 1e5 || size < 1e-3 ? value.toExponential(0).replace("e+", "e") : String(+value.toPrecision(4));
}

// One panel, as wide as its place. Returns its SVG; every series is a group that knows its net and kind.
function panelSvg(panel, width, height) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "xMinYMid");
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const x = scale(panel.x, MARGIN.left, right), y = scale(panel.y, bottom, MARGIN.top);
  axes(svg, panel, x, y, right, bottom);
  const clip = `clip-${panelSvg.count = (panelSvg.count ?? 0) + 1}`;
  make(make(make(svg, "defs", {}), "clipPath", { id: clip }), "rect",
    { x: MARGIN.left - 6, y: MARGIN.top - 6, width: right - MARGIN.left + 12, height: bottom - MARGIN.top + 12 });
  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  for (const mark of panel.marks) make(inside, "path", { d: `M${x(mark)},${MARGIN.top}V${bottom}`, stroke: "#d0d0d0" });
  if (panel.identity) {
    make(inside, "path", { d: `M${x(panel.x.low)},${y(panel.y.low)}L${x(panel.x.high)},${y(panel.y.high)}`, stroke: "#909090" });
  }
  for (const each of panel.series.toSorted((a, b) => a.style.order - b.style.order)) seriesGroup(inside, each, x, y);
  return svg;
}

function axes(svg, panel, x, y, right, bottom) {
  const text = { fill: INK, "font-size": 12 };
  let free = -Infinity;
  for (const value of ticks(panel.x, Math.max(3, right / 85))) {
    const words = label(value), half = 3.5 * words.length + 3;
    make(svg, "path", { d: `M${x(value)},${MARGIN.top}V${bottom}`, stroke: "#ececec" });
    if (x(value) - half < free) continue;
    make(svg, "text", { ...text, x: x(value), y: bottom + 16, "text-anchor": "middle" }, words);
    free = x(value) + half;
  }
  for (const value of ticks(panel.y, 6)) {
    make(svg, "path", { d: `M${MARGIN.left},${y(value)}H${right}`, stroke: "#ececec" });
    make(svg, "text", { ...text, x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, label(value));
  }
  make(svg, "path", { d: `M${MARGIN.left},${MARGIN.top}V${bottom}H${right}`, stroke: INK, fill: "none" });
  make(svg, "text", { ...text, x: (MARGIN.left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, panel.x.label);
  make(svg, "text", { ...text, transform: `translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, panel.y.label);
  make(svg, "text", { fill: INK, "font-size": 13.5, x: (MARGIN.left + right) / 2, y: 15, "text-anchor": "middle" }, panel.title);
}

function seriesGroup(parent, series, x, y) {
  const { colour, style, low, high } = series;
  const group = make(parent, "g", { fill: "none", stroke: colour, class: "series" });
  group.dataset.net = series.net;
  group.dataset.kind = series.kind;
  const sure = series.x.map((_, i) => i).filter((i) => low.length && low[i] !== null);
  if (style.marker && sure.length) {
    make(group, "path", { d: sure.map((i) => `M${x(series.x[i])},${y(low[i])}V${y(high[i])}`).join(""), "stroke-width": 1.5 });
  } else if (sure.length) {
    const edge = (values, order) => order.map((i) => `${x(series.x[i])},${y(values[i])}`).join("L");
    make(group, "path", { d: `M${edge(high, sure)}L${edge(low, sure.toReversed())}z`, fill: colour, "fill-opacity": 0.15, stroke: "none" });
  }
  const seen = series.x.map((_, i) => i).filter((i) => series.x[i] !== null && series.y[i] !== null);
  if (style.width && seen.length) {
    make(group, "path", {
      d: "M" + seen.map((i) => `${x(series.x[i]).toFixed(1)},${y(series.y[i]).toFixed(1)}`).join("L"),
      "stroke-width": style.width, "stroke-dasharray": DASHES[style.dash], "stroke-opacity": style.opacity, "stroke-linejoin": "round",
    });
  }
  if (style.marker) {
    for (const i of seen) {
      make(group, "path", {
        d: SHAPES[style.marker], transform: `translate(${x(series.x[i])} ${y(series.y[i])})`,
        fill: style.filled && style.marker !== "x" ? colour : "none", "stroke-width": 1.5,
      });
    }
  }
  group.points = seen.map((i) => ({ at: [x(series.x[i]), y(series.y[i])], i }));
  group.series = series;
}

// What stands beside the mouse: the point that is nearest, at most 30 pixels away.
function nearest(svg, event) {
  const box = svg.getBoundingClientRect(), factor = svg.viewBox.baseVal.width / box.width;
  const at = [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
  let found = null, least = 30;
  for (const group of svg.querySelectorAll(".series:not([hidden])")) {
    for (const point of group.points) {
      const away = Math.hypot(point.at[0] - at[0], point.at[1] - at[1]);
      if (away < least) [found, least] = [{ group, ...point }, away];
    }
  }
  return found;
}

function hint(figure, panel, svg) {
  const tip = figure.querySelector(".tip") ?? figure.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
  svg.addEventListener("pointermove", (event) => {
    const found = nearest(svg, event);
    tip.hidden = !found;
    svg.querySelector(".dot")?.remove();
    if (!found) return;
    const { group: { series }, i, at } = found;
    make(svg, "circle", { class: "dot", cx: at[0], cy: at[1], r: 5, fill: "none", stroke: series.colour, "stroke-width": 2 });
    const sure = series.low.length && series.low[i] !== null ? ` (${series.low[i]} to ${series.high[i]})` : "";
    tip.textContent = `${series.names[i] ?? series.net}, ${series.kind}\n${panel.x.label}: ${+series.x[i].toPrecision(5)}\n${panel.y.label}: ${+series.y[i].toPrecision(4)}${sure}`;
    const outer = figure.getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX - outer.left + 12, outer.width - tip.offsetWidth - 4)}px`;
    tip.style.top = `${event.clientY - outer.top + 14}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; svg.querySelector(".dot")?.remove(); });
}

// Draw the panels of a figure, each as wide as its place; what is switched off stays hidden.
function drawFigure(figure, fixed) {
  const panels = figure.panels ??= JSON.parse(document.querySelector(`script[data-panels="${CSS.escape(figure.dataset.chart)}"]`).textContent);
  const places = figure.querySelectorAll(".panel");
  figure.querySelector(".switches").onchange = () => hideSwitchedOff(figure);
  panels.slice(0, places.length).forEach((panel, i) => {
    const square = figure.querySelector(".square") && fixed;
    const width = square ? 240 : fixed ?? Math.max(180, Math.round(places[i].clientWidth));
    const svg = panelSvg(panel, width, heightOf(figure, width));
    hint(figure, panel, svg);
    places[i].replaceChildren(svg);
  });
  figure.drawnFor = fixed ?? figure.clientWidth;
  hideSwitchedOff(figure);
}

// Square where both axes are the same, low on the first screen, else a little wider than high.
function heightOf(figure, width) {
  if (figure.querySelector(".square")) return Math.min(width, 420);
  if (figure.closest(".first")) return Math.round(width < 260 ? 1.2 * width : Math.min(300, 0.44 * width));
  return Math.round(Math.min(340, Math.max(190, 0.62 * width)));
}

function hideSwitchedOff(figure) {
  const off = (name) => new Set([...figure.querySelectorAll(`input[data-${name}]:not(:checked)`)].map((box) => box.dataset[name]));
  const [nets, kinds] = [off("net"), off("kind")];
  for (const group of figure.querySelectorAll(".series")) {
    group.toggleAttribute("hidden", nets.has(group.dataset.net) || kinds.has(group.dataset.kind));
  }
}

// Draw the figures of a view that are not drawn for this width yet, and unpack its pictures.
function showFigures(view) {
  for (const figure of view.querySelectorAll("figure.chart")) {
    if (figure.offsetParent === null || figure.drawnFor === figure.clientWidth) continue;
    drawFigure(figure);
  }
  return Promise.all([...view.querySelectorAll("figure.picture img:not([src])")].map(showPicture));
}

async function showPicture(image) {
  const packed = image.closest("figure").querySelector("script");
  image.src = URL.createObjectURL(new Blob([await unpack(packed.textContent)], { type: "image/svg+xml" }));
  await image.decode().catch(() => {});
}
