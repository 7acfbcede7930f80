"use strict";
// <div data-table> holds a <form class="filter" hidden> and a <table>: its rows become sortable by each column whose
// <th> has data-sort ("text" or "number"), and chosen by those with data-choose. A <td data-value> says what counts.
for (const box of document.querySelectorAll("[data-table]")) {
  const body = box.querySelector("tbody"), form = box.querySelector("form"), rows = [...body.rows];
  const heads = [...box.querySelectorAll("thead th")], said = form.querySelector("output");
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const choices = [];
  heads.forEach((head, column) => {
    if (head.dataset.choose) {
      const select = document.createElement("select");
      const all = [...new Set(rows.map(row => value(row, column)))].sort((a, b) => a.localeCompare(b));
      select.setAttribute("aria-label", head.dataset.choose);
      select.append(new Option(head.dataset.choose, ""), ...all.map(text => new Option(text, "=" + text)));
      form.insertBefore(select, said);
      choices.push([select, column]);
    }
    if (!head.dataset.sort) return;
    const button = document.createElement("button"), number = head.dataset.sort === "number";
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const way = (head.getAttribute("aria-sort") ?? (number ? "ascending" : "")) === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way < 0 ? "descending" : "ascending");
      rows.sort((one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        return way * (number ? a - b : a.localeCompare(b, undefined, {numeric: true}));
      });
      body.append(...rows);
    };
  });
  const words = rows.map(row => row.textContent.toLowerCase());
  const search = form.querySelector("[type=search]"), wrong = form.querySelector("[type=checkbox]");
  const text = new Map(rows.map((row, index) => [row, words[index]]));
  const choose = () => {
    const asked = (search?.value ?? "").trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = text.get(row).includes(asked) && (!wrong?.checked || "marked" in row.dataset) &&
        choices.every(([select, column]) => !select.value || "=" + value(row, column) === select.value);
      row.hidden = !fits;
      shown += fits;
    }
    said.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  form.oninput = choose;
  form.onsubmit = event => event.preventDefault();
  choose();
  form.hidden = false;
}
