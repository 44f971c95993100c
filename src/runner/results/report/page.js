// A click on the head of a column sorts by it, a second one turns the order. Cells without a value stay last.
"use strict";

function value(row, place) {
  const text = row.cells[place].dataset.value;
  return text === undefined || text === "" || text === "nan" ? null : text;
}

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sort(head) {
  const place = head.cellIndex;
  const body = head.closest("table").tBodies[0];
  const descending = head.getAttribute("aria-sort") === "ascending";
  const rows = [...body.rows].map((row) => ({ row, value: value(row, place) }));
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return descending ? compare(b.value, a.value) : compare(a.value, b.value);
  });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows.map(({ row }) => row));
}

for (const button of document.querySelectorAll(".heads button")) {
  button.addEventListener("click", () => sort(button.parentElement));
}
