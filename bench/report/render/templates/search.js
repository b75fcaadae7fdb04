// Search over views, nets, claims and runs. The list is made when the field is first used.
"use strict";

const MOST = 12;
const fuzzy = new uFuzzy({ intraMode: 1, intraIns: 1 });
let everything;

// What can be found: a text, what it is, and its address.
async function findable() {
  const line = (text, kind, address) => ({ text: text.trim().replace(/\s+/g, " "), kind, address });
  const views = [...document.querySelectorAll("#views a[data-view]")].map((each) => line(each.dataset.found ?? each.textContent, "view", each.hash));
  const rows = [...document.querySelectorAll("tr[id]")].map((row) => {
    const page = row.closest(".view").dataset.title;
    const claim = row.dataset.kind === "claim";
    return line(row.cells[0].textContent + (claim ? ` ${row.cells[2].textContent}` : ""), claim ? "claim" : `net, ${page}`, `#${row.id}`);
  });
  const missing = [...document.querySelectorAll("#missing li[id]")].map((each) => line(each.querySelector("strong").textContent, "not measured", `#${each.id}`));
  const list = document.getElementById("runs-list") ? await runFile("runs-list") : { groups: [] };
  const runs = list.groups.flatMap(([, , , ids]) => ids.map((id) => ({ text: id, kind: "run", address: `#run/${id}` })));
  const found = [...views, ...rows, ...missing, ...runs];
  return { found, texts: found.map((each) => each.text) };
}

async function search(words) {
  everything ??= findable();
  const { found, texts } = await everything;
  const [ids, info, order] = fuzzy.search(texts, words.replace(/-/g, " "), 4, 5000);
  return (order ? order.map((i) => info.idx[i]) : ids ?? []).map((i) => found[i]);
}

function showFound(results) {
  const box = document.getElementById("found");
  box.hidden = false;
  const shown = results.slice(0, MOST);
  box.querySelector("[role=status]").textContent = results.length > MOST ? `${MOST} of ${results.length} shown` : `${results.length} found`;
  box.querySelector("ul").replaceChildren(...shown.map(({ text, kind, address }) => {
    const anchor = link(address, text);
    anchor.append(element("small", [kind]));
    return element("li", [anchor]);
  }));
}

function startSearch() {
  const field = document.getElementById("search"), box = document.getElementById("found");
  const close = () => { box.hidden = true; };
  const links = () => [...box.querySelectorAll("a")];
  field.addEventListener("focus", () => { everything ??= findable(); }, { once: true });
  field.addEventListener("input", async () => {
    const words = field.value.trim();
    if (words.length < 2) close();
    else {
      const results = await search(words);
      if (field.value.trim() === words) showFound(results);
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") links()[0]?.click();
    if (event.key === "ArrowDown") { event.preventDefault(); links()[0]?.focus(); }
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], at = links().indexOf(document.activeElement);
    if (step) { event.preventDefault(); (links()[at + step] ?? field).focus(); }
  });
  box.addEventListener("click", (event) => { if (event.target.closest("a")) { close(); field.value = ""; } });
  field.parentElement.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); field.focus(); } });
  document.addEventListener("click", (event) => { if (!event.target.closest(".search")) close(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, dialog")) { event.preventDefault(); field.focus(); }
  });
}
