"use strict";
// Tables sort by a click on a heading, and filter; the page says all it says without this.
const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50 };
const value = (cell) => {
  const text = cell.textContent.trim();
  const found = text.match(/^[<>+]?\s*(-?[\d,.]+)\s*(B|[KMGTP]iB)?/);
  return found ? parseFloat(found[1].replace(/,/g, "")) * (UNITS[found[2]] || 1) : text.toLowerCase();
};
const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
const sort = (table, column, down) => {
  const bodies = [...table.tBodies], sizes = bodies.map((body) => body.rows.length);
  const rows = bodies.flatMap((body) => [...body.rows]).map((row) => [value(row.cells[column]), row]);
  rows.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]));
  bodies.forEach((body, index) => body.append(...rows.splice(0, sizes[index]).map((pair) => pair[1])));
};
for (const table of document.querySelectorAll("table")) {
  const rows = () => [...table.tBodies].flatMap((body) => [...body.rows]);
  if (!table.tHead || rows().length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const down = head.ariaSort === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.ariaSort = down ? "descending" : "ascending";
      sort(table, column, down);
    };
  });
  if (rows().length < 8) continue;
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "Filter rows";
  filter.setAttribute("aria-label", "Filter rows of: " + table.caption.textContent);
  filter.oninput = () => {
    const wanted = filter.value.toLowerCase();
    table.classList.toggle("filtered", wanted !== "");
    for (const row of rows()) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  };
  table.parentElement.before(filter);
}
addEventListener("beforeprint", () => document.querySelectorAll("details.section").forEach((part) => { part.open = true; }));
