// One view at a time, by the address after #: of a view, of a row in one, or of a run.
"use strict";

const views = [...document.querySelectorAll(".view")];

// The view of an address, and what in it the address is of.
function place() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (name.startsWith("run/") && document.getElementById("run")) return { view: document.getElementById("run"), run: name.slice(4) };
  const target = document.getElementById(name);
  const view = target?.closest(".view") ?? views[0];
  return { view, target: target !== view ? target : null };
}

function go(first) {
  if (location.hash === "#main") return;
  const { view, target, run } = place();
  for (const each of views) each.classList.toggle("shown", each === view);
  for (const each of document.querySelectorAll("#views a")) {
    if (each.dataset.view && each.dataset.view === (view.dataset.view ?? view.id)) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  document.title = `${run ?? view.dataset.title}: Deep Residual Learning, measured again`;
  closeMenu();
  for (const each of document.querySelectorAll(".found-row")) each.classList.remove("found-row");
  if (run) showRun(run);
  if (target) show(view);
  else later(view);
  if (target && view.contains(target)) {
    target.closest("details")?.setAttribute("open", "");
    target.classList.add("found-row");
    target.scrollIntoView({ block: "center" });
    if (!first) (target.querySelector("a, button, th") ?? target).focus({ preventScroll: true });
  } else {
    scrollTo(0, 0);
    if (!first) view.querySelector("h1").focus({ preventScroll: true });
  }
}

// The reader sees the view first; then its tables and figures come alive.
function later(view) {
  view.dataset.busy = "yes";
  requestAnimationFrame(() => setTimeout(() => {
    if (view.classList.contains("shown")) show(view);
    delete view.dataset.busy;
  }));
}

function show(view) {
  addCopyButtons(view);
  showTables(view);
  showFigures(view);
  for (const group of view.querySelectorAll(".switches:not([data-ready])")) {
    group.dataset.ready = "yes";
    rove(group, "input");
  }
}

// Tables in what a reader unfolds are measured when they are seen.
document.addEventListener("toggle", (event) => { if (event.target.matches?.("details[open]")) showTables(event.target); }, true);

const menu = document.querySelector(".menu");

function closeMenu() {
  menu.setAttribute("aria-expanded", "false");
  document.documentElement.classList.remove("open");
}

menu.addEventListener("click", () => {
  const open = document.documentElement.classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.documentElement.classList.contains("open")) { closeMenu(); menu.focus(); }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(".view.shown h1").focus();
});

// Every view is printed: what was never shown is drawn for paper, and pictures are unpacked when the reader has all else.
addEventListener("beforeprint", () => {
  for (const figure of document.querySelectorAll(".view:not(.unprinted) figure.chart")) drawFigure(figure, 460);
});
addEventListener("afterprint", () => { for (const figure of document.querySelectorAll("figure.chart")) figure.drawnFor = 0; go(true); });

addEventListener("hashchange", () => go(false));
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => show(document.querySelector(".view.shown")), 100);
});
startSearch();
go(true);
(window.requestIdleCallback ?? setTimeout)(async () => {
  for (const view of views) await Promise.all([...view.querySelectorAll("figure.picture img:not([src])")].map(showPicture));
  document.documentElement.dataset.ready = "yes";
});
