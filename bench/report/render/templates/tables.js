// Tables: sorted by a click on a header, one stop of the Tab key each, and a sign where there is more to the side.
"use strict";

// Numbers by their value; cells without one last, whichever way.
const EMPTY = Infinity;
const valueOf = (text) => {
  const found = text.replace(/,/g, "").replace("−", "-").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/);
  return found ? Number(found[0]) : EMPTY;
};
Tablesort.extend("value", () => false, (a, b) => valueOf(b) - valueOf(a) || 0);
Tablesort.extend("text", () => false, (a, b) => b.trim().localeCompare(a.trim(), "en", { numeric: true }));

// One stop of the Tab key for many controls; arrow keys, Home and End move between them.
function rove(container, selector) {
  const all = () => [...container.querySelectorAll(selector)];
  all().forEach((each, i) => { each.tabIndex = i ? -1 : 0; });
  container.addEventListener("focusin", (event) => {
    const at = event.target.closest(selector);
    if (at) for (const each of all()) each.tabIndex = each === at ? 0 : -1;
  });
  container.addEventListener("keydown", (event) => {
    const at = event.target.closest(selector), members = all(), row = (each) => each.closest("tr");
    if (!at) return;
    const i = members.indexOf(at), column = at.closest("th, td")?.cellIndex;
    const below = (step) => {
      const rows = [...new Set(members.map(row))], next = rows[rows.indexOf(row(at)) + step];
      const there = members.filter((each) => row(each) === next);
      return next && (there.find((each) => each.closest("th, td").cellIndex >= column) ?? there.at(-1));
    };
    const moves = {
      ArrowRight: () => members[i + 1], ArrowLeft: () => members[i - 1], Home: () => members[0], End: () => members.at(-1),
      ArrowDown: () => (column === undefined ? members[i + 1] : below(1)), ArrowUp: () => (column === undefined ? members[i - 1] : below(-1)),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]()?.focus();
  });
}

// How much of a table lies beyond an edge of its box, as a shadow there; several verdict columns stand side by side.
function edges(box) {
  const left = box.scrollLeft > 1, right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
  box.dataset.more = `${left ? "left " : ""}${right ? "right" : ""}`.trim();
}

function keepVerdicts(box) {
  const head = [...(box.querySelector("thead tr")?.cells ?? [])], judged = head.filter((cell) => cell.classList.contains("judged"));
  const wide = judged.reduce((sum, cell) => sum + cell.offsetWidth, head[0]?.offsetWidth ?? 0) > 0.8 * box.clientWidth;
  let right = 0;
  for (const cell of judged.toReversed()) {
    const kept = !wide || cell === judged.at(-1);
    for (const row of box.querySelector("table").rows) row.cells[cell.cellIndex].style.right = kept ? `${right}px` : "auto";
    right += cell.offsetWidth;
  }
}

function showTables(view) {
  for (const box of view.querySelectorAll(".scroll")) {
    if (!box.dataset.ready) {
      box.dataset.ready = "yes";
      const table = box.querySelector("table");
      if (table.tBodies[0]?.rows.length > 1) new Tablesort(table);
      for (const head of table.tHead?.rows[0]?.cells ?? []) head.title = "Sort by this column";
      rove(box, "thead th[tabindex], button, a");
      if (!box.querySelector("[tabindex='0']")) box.tabIndex = 0;
      box.addEventListener("scroll", () => edges(box), { passive: true });
    }
    keepVerdicts(box);
    edges(box);
  }
}
