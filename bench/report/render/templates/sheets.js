// Sheets: what stands behind a cell, opened over the page; and a button beside each command that copies it.
"use strict";

function openSheet(title, content) {
  const sheet = document.createElement("dialog");
  const heading = Object.assign(document.createElement("h2"), { textContent: title, id: `sheet-${document.querySelectorAll("dialog").length}` });
  const close = Object.assign(document.createElement("button"), { type: "button", className: "close", textContent: "Close", autofocus: true });
  sheet.className = "sheet";
  sheet.setAttribute("aria-labelledby", heading.id);
  sheet.append(heading, close, content);
  document.body.append(sheet);
  const before = document.activeElement;
  close.addEventListener("click", () => sheet.close());
  sheet.addEventListener("click", (event) => { if (event.target === sheet || event.target.closest("a[href^='#']")) sheet.close(); });
  sheet.addEventListener("close", () => { sheet.remove(); before?.focus(); });
  sheet.showModal();
  addCopyButtons(sheet);
  showTables(sheet);
  return sheet;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sheet]");
  if (!button) return;
  const template = document.getElementById(button.dataset.sheet);
  openSheet(template.dataset.title, template.content.cloneNode(true));
});

function addCopyButtons(place) {
  for (const code of place.querySelectorAll("code.language-sh, code.command")) {
    if (code.dataset.copied) continue;
    code.dataset.copied = "no";
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy command" });
    button.addEventListener("click", async () => {
      await copy(code.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy command"; }, 2000);
    });
    (code.closest("pre") ?? code).after(" ", button);
  }
}

// A page that is opened from a file may not be allowed to use the clipboard; an older way works there.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
