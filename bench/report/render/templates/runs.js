// Runs: their records lie packed in the file and are unpacked where they are asked for.
"use strict";

// Base64 of compressed text -> the text.
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.trim()), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

const unpacked = {};
const runFile = (id) => (unpacked[id] ??= unpack(document.getElementById(id).textContent).then(JSON.parse));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-group]");
  if (!button) return;
  const [title, , , ids] = (await runFile("runs-list")).groups[button.dataset.group];
  const list = element("ul", ids.map((id) => element("li", [link(`#run/${id}`, id)])));
  list.className = "ids";
  openSheet(title, list);
});

function element(name, children = [], attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

const link = (href, text) => element("a", [text], { href });

async function showRun(id) {
  document.getElementById("run-title").textContent = id;
  const place = document.getElementById("run-content");
  place.replaceChildren();
  const { groups, chunk } = await runFile("runs-list");
  if (!(id in chunk)) {
    const known = groups.some(([, , , ids]) => ids.includes(id));
    place.append(element("p", [known ? "The file has no room for the record of this run. It is in its folder: " : "No run of this name is in this report: ", element("code", [`results/${id}`])]));
    return;
  }
  const [run, shared] = [(await runFile(`runs-${chunk[id]}`))[id], await runFile("runs-shared")];
  place.append(...sections(run, shared));
  showFigures(place);
  addCopyButtons(place);
}

function sections(run, shared) {
  const parts = [];
  if (run.result) parts.push(element("p", [summary(run)]));
  else parts.push(element("p", ["It was started and has no result yet."]));
  if (run.curve?.iteration.length > 1) parts.push(curveFigure(run));
  const columns = [["Result", run.result], ["Spec", run.spec === undefined ? null : { ...shared[run.spec], seed: run.seed }],
    ["Provenance", run.facts === undefined ? null : { ...run.own, ...shared[run.facts] }]];
  const facts = columns.filter(([, value]) => value).map(([title, value]) => element("div", [element("h2", [title]), factList(value)]));
  if (facts.length) parts.push(element("div", facts, { className: "facts" }));
  parts.push(element("h2", ["End of the log"]));
  parts.push(run.log ? element("pre", [element("code", [run.log])], { tabIndex: 0 }) : element("p", ["No log is kept here: only results folders have one."]));
  return parts;
}

function summary({ result, seed }) {
  const error = result.test_error === undefined ? result.status : `Test error ${result.test_error.toFixed(2)} %`;
  return `${error}, seed ${seed}, ${result.iterations.toLocaleString("en")} iterations, ${(result.wall_seconds / 3600).toFixed(2)} hours.`;
}

// Nested values as `recipe.lr: 0.1`, each a line.
function flat(value, name = "") {
  if (value === null || value === "") return [[name, "none"]];
  if (Array.isArray(value)) return [[name, value.join(", ")]];
  if (typeof value === "number") return [[name, String(Number.isInteger(value) ? value : +value.toPrecision(6))]];
  if (typeof value !== "object") return [[name, String(value)]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
}

const factList = (value) => element("dl", flat(value).flatMap(([name, text]) => [element("dt", [name]), element("dd", [text])]));

function curveFigure({ id, curve }) {
  const style = { width: 2.2, dash: "solid", opacity: 1, marker: "", filled: true, order: 2 };
  const series = (kind, y, more) => ({ net: id, kind, x: curve.iteration, y, colour: "#287d8e", style: { ...style, ...more }, low: [], high: [], names: [] });
  const shown = [series("test error", curve.test_error, {}), series("training error", curve.train_error, { width: 1.2, dash: "dashed" })];
  const top = Math.max(...curve.test_error.concat(curve.train_error).filter((value) => value !== null));
  const figure = element("figure", [], { className: "chart" });
  figure.innerHTML = '<div class="panels" role="img"><div class="panel"></div></div><fieldset class="switches"></fieldset><figcaption>Test error bold, training error dashed.</figcaption>';
  figure.querySelector(".panels").setAttribute("aria-label", `Error of ${id} against iterations`);
  figure.panels = [{
    title: "", marks: [], identity: false, series: shown,
    x: { label: "iteration", low: 0, high: curve.iteration.at(-1), log: false, ticks: [] },
    y: { label: "error, %", low: 0, high: Math.min(100, Math.ceil(top / 10) * 10), log: false, ticks: [] },
  }];
  return figure;
}
