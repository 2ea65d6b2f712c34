// Sorts tables by a click on a column's head, and copies a table as CSV. Without this the page lacks nothing but these two.
"use strict";
const number = (text) => {
  const found = text.replace(/,(?=\d{3})/g, "").replace("−", "-").match(/^\s*[-+]?\d*\.?\d+(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
};
const key = (row, at) => {
  const cell = row.cells[at];
  return cell.dataset.value ?? cell.textContent.trim();
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    if (head.querySelector("svg") || !head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [key(row, at), row]);
      const isNumber = rows.every(([text]) => text === "" || text === "–" || !Number.isNaN(number(text)));
      const order = ([a], [b]) => isNumber
        ? (number(a) || 0) - (number(b) || 0)
        : a.localeCompare(b, "en", { numeric: true });
      rows.sort((one, other) => (up ? 1 : -1) * order(one, other));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
if (navigator.clipboard) {
  for (const link of document.querySelectorAll("a[download]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy CSV";
    button.addEventListener("click", async () => {
      const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (letter) => letter.charCodeAt(0));
      await navigator.clipboard.writeText(new TextDecoder().decode(bytes));
      button.textContent = "Copied";
    });
    link.after(" ", button);
  }
}
