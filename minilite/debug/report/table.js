// The table of all operators: sorted by any column, filtered by the search, walked with the keyboard.

const order = { key: "i", descending: false };

function firstOutput(operator) {
  return tensorAt(operator.outputs[0]);
}

/** The end of a long name, which tells more than its beginning. */
function ending(text, length) {
  return text.length <= length ? text : `…${text.slice(1 - length)}`;
}

function statistic(name) {
  return (operator) => {
    const tensor = firstOutput(operator);
    const value = tensor?.stats?.[name];
    return value === undefined ? null : realOf(tensor, value);
  };
}

function part(...names) {
  return (operator) => {
    const stats = firstOutput(operator)?.stats;
    return stats && stats.count ? names.reduce((sum, name) => sum + (stats[name] ?? 0), 0) / stats.count : null;
  };
}

// `value` is what a column is sorted by, `show` what stands in it.
const COLUMNS = [
  { key: "i", title: "#", value: (o) => o.i, numeric: true },
  { key: "name", title: "Operator", value: (o) => o.name, show: (o) => element("span", { class: `tag ${hue(o.name)}` }, element("i"), o.name) },
  { key: "output", title: "Output", value: (o) => firstOutput(o)?.name ?? "", show: (o) => element("span", { class: "long", title: firstOutput(o)?.name }, ending(firstOutput(o)?.name ?? "", 30)) },
  { key: "type", title: "Type", value: (o) => write.type(firstOutput(o)?.type ?? "") },
  { key: "shape", title: "Shape", value: (o) => (firstOutput(o)?.shape ?? []).reduce((a, b) => a * b, 1), show: (o) => write.shape(firstOutput(o)?.shape ?? []), mono: true },
  { key: "ms", title: "Time ms", value: (o) => o.ms ?? null, show: (o) => (o.ms === undefined ? "–" : o.ms.toFixed(3)), numeric: true },
  { key: "share", title: "Share", value: (o) => o.share ?? null, show: (o) => [write.share(o.share), bar((o.share ?? 0) / largestShare())], numeric: true },
  ...(report.comparison?.columns ?? []).map((column) => ({ key: `error-${column.key}`, title: column.title, value: (o) => errorOf(o, column), show: (o) => writeError(o.errors?.[column.key], column), numeric: column.kind !== "text" })),
  { key: "multiply_adds", title: "Mult-adds", value: (o) => o.multiply_adds, show: (o) => (o.multiply_adds ? write.count(o.multiply_adds) : "–"), numeric: true },
  { key: "memory", title: "Memory", value: (o) => o.memory, show: (o) => write.bytes(o.memory), numeric: true },
  { key: "weights", title: "Weights", value: (o) => o.weights, show: (o) => (o.weights ? write.bytes(o.weights) : "–"), numeric: true },
  ...["min", "max", "mean"].map((name) => ({ key: name, title: name[0].toUpperCase() + name.slice(1), value: statistic(name), show: (o) => write.number(statistic(name)(o)), numeric: true })),
  { key: "zeros", title: "Zeros", value: part("zeros"), show: (o) => write.share(part("zeros")(o)), numeric: true },
  { key: "nan", title: "NaN, Inf", value: part("nan", "infinite"), show: (o) => (part("nan", "infinite")(o) ? element("strong", { class: "bad" }, write.share(part("nan", "infinite")(o))) : "–"), numeric: true },
];

/** What a column of errors is sorted by: what is no number is beyond all numbers. */
function errorOf(operator, column) {
  const value = operator.errors?.[column.key] ?? null;
  return column.kind !== "text" && typeof value === "string" ? Infinity : value;
}

function largestShare() {
  return Math.max(...subgraph().operators.map((operator) => operator.share ?? 0), 1e-9);
}

function setUpTable() {
  const headings = COLUMNS.map((column) =>
    element("th", { scope: "col", class: column.numeric ? "numeric" : "", "data-key": column.key }, element("button", { onclick: () => sortBy(column.key) }, column.title, element("i", { "aria-hidden": "true" }))),
  );
  const table = element(
    "table",
    { role: "grid" },
    element("caption", { class: "unseen" }, "All operators. The headings sort; arrow keys go from row to row."),
    element("thead", {}, element("tr", {}, headings)),
    element("tbody", { onkeydown: tableKey }),
  );
  document.getElementById("table").append(table, element("p", { class: "empty", hidden: true }, "No operator has that name."));
  drawTable();
}

function sortBy(key) {
  const column = COLUMNS.find((one) => one.key === key);
  // What is measured is looked at from its largest value down.
  order.descending = order.key === key ? !order.descending : Boolean(column.numeric) && key !== "i";
  order.key = key;
  drawTable();
}

function sortedOperators() {
  const { value } = COLUMNS.find((column) => column.key === order.key);
  const sign = order.descending ? -1 : 1;
  return subgraph()
    .operators.filter((operator) => matches(operator))
    .map((operator) => [value(operator), operator])
    .sort(([a, one], [b, other]) => {
      if (a === null || b === null) return (a === null) - (b === null) || one.i - other.i;
      return (a < b ? -sign : a > b ? sign : 0) || one.i - other.i;
    })
    .map(([, operator]) => operator);
}

function drawTable() {
  const room = document.getElementById("table");
  const body = room.querySelector("tbody");
  const operators = sortedOperators();
  body.replaceChildren(...operators.map(rowOf));
  room.querySelector("p.empty").hidden = operators.length > 0;
  for (const heading of room.querySelectorAll("th")) {
    const sorted = heading.dataset.key === order.key;
    heading.setAttribute("aria-sort", sorted ? (order.descending ? "descending" : "ascending") : "none");
  }
  markRow();
}

function rowOf(operator) {
  const cells = COLUMNS.map((column) => element("td", { class: [column.numeric ? "numeric" : "", column.mono ? "mono" : ""].join(" ").trim() }, column.show ? column.show(operator) : String(column.value(operator))));
  return element("tr", { "data-number": operator.i, tabindex: -1, onclick: () => select("op", operator.i) }, cells);
}

function markRow(scroll = false) {
  const rows = [...document.querySelectorAll("#table tbody tr")];
  let found = null;
  for (const row of rows) {
    const chosen = isSelected("op", Number(row.dataset.number));
    row.setAttribute("aria-selected", chosen);
    row.tabIndex = chosen ? 0 : -1;
    if (chosen) found = row;
  }
  if (!found && rows.length) rows[0].tabIndex = 0;
  if (found && scroll) found.scrollIntoView({ block: "nearest" });
  return found;
}

function tableKey(event) {
  const rows = [...event.currentTarget.children];
  const here = rows.indexOf(event.target.closest("tr"));
  const goal = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1, PageDown: Math.min(here + 15, rows.length - 1), PageUp: Math.max(here - 15, 0), Enter: here, " ": here }[event.key];
  if (goal === undefined || !rows[goal]) return;
  event.preventDefault();
  select("op", Number(rows[goal].dataset.number));
  rows[goal].focus();
}
