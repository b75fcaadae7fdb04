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

// How much of a table lies beyond an edge of its box, as a shadow there.
function edges(box) {
  const left = box.scrollLeft > 1, right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
  box.dataset.more = `${left ? "left " : ""}${right ? "right" : ""}`.trim();
}

// Where each verdict column stays when its box scrolls: side by side at the right, or the last alone where there is no room.
function verdictPlaces(box) {
  const head = [...(box.querySelector("thead tr")?.cells ?? [])], judged = head.filter((cell) => cell.classList.contains("judged"));
  const widths = judged.map((cell) => cell.offsetWidth), all = widths.reduce((sum, width) => sum + width, head[0]?.offsetWidth ?? 0);
  let right = 0;
  return judged.map((cell, i) => [cell.cellIndex, widths[i]]).toReversed().map(([column, width], i) => {
    const place = i && all > 0.8 * box.clientWidth ? "auto" : `${right}px`;
    right += width;
    return [column, place];
  });
}

function start(box) {
  box.dataset.ready = "yes";
  const table = box.querySelector("table");
  if (table.tBodies[0]?.rows.length > 1) new Tablesort(table);
  for (const head of table.tHead?.rows[0]?.cells ?? []) head.title = "Sort by this column";
  rove(box, "thead th[tabindex], button, a");
  if (!box.querySelector("[tabindex='0']")) box.tabIndex = 0;
  box.addEventListener("scroll", () => edges(box), { passive: true });
}

// All is measured before anything is moved: the browser lays out once, and not once a table.
function showTables(view) {
  const boxes = [...view.querySelectorAll(".scroll")].filter((box) => box.checkVisibility());
  const places = boxes.map(verdictPlaces);
  for (const box of boxes) if (!box.dataset.ready) start(box);
  boxes.forEach((box, i) => {
    for (const [column, right] of places[i]) {
      for (const row of box.querySelector("table").rows) row.cells[column].style.right = right;
    }
  });
  for (const box of boxes) edges(box);
}
