// Puts the parts together: views, search, theme, keys, and the address that leads back to what is seen.

const VIEWS = ["overview", "graph", "table"];
const search = document.getElementById("search");

// --- views and subgraphs ---------------------------------------------------------------------------------

function showView() {
  for (const view of VIEWS) {
    const shown = view === state.view;
    document.getElementById(view).hidden = !shown;
    const tab = document.getElementById(`tab-${view}`);
    tab.setAttribute("aria-selected", shown);
    tab.tabIndex = shown ? 0 : -1;
  }
  document.getElementById("main").dataset.view = state.view;
}

function setUpTabs() {
  const tabs = VIEWS.map((view) => document.getElementById(`tab-${view}`));
  for (const tab of tabs) {
    tab.addEventListener("click", () => change({ view: tab.dataset.view }));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  }
}

function setUpSubgraphs() {
  const chooser = document.getElementById("subgraph");
  chooser.hidden = report.subgraphs.length < 2;
  chooser.append(...report.subgraphs.map((part, i) => element("option", { value: i }, `${i}: ${part.name || "subgraph"} (${part.operators.length})`)));
  chooser.addEventListener("change", () => change({ subgraph: Number(chooser.value), selected: null, view: state.view === "overview" ? "graph" : state.view }));
}

// --- search --------------------------------------------------------------------------------------------------

function setQuery(text) {
  search.value = text;
  change({ query: text });
}

function found() {
  return state.view === "table" ? sortedOperators() : subgraph().operators.filter((operator) => matches(operator));
}

function showMatches() {
  const output = document.getElementById("matches");
  if (!state.query.trim()) {
    output.textContent = "";
    return;
  }
  const operators = found();
  const place = operators.findIndex((operator) => isSelected("op", operator.i));
  output.textContent = operators.length ? `${place >= 0 ? `${place + 1} of ` : ""}${operators.length}` : "none";
}

/** Select the next match, or the one before. */
function jump(step) {
  const operators = found();
  if (!operators.length) return;
  const place = operators.findIndex((operator) => isSelected("op", operator.i));
  const next = place < 0 ? (step > 0 ? 0 : operators.length - 1) : (place + step + operators.length) % operators.length;
  change({ view: state.view === "overview" ? "graph" : state.view, selected: { kind: "op", number: operators[next].i } });
}

function setUpSearch() {
  search.addEventListener("input", () => {
    change({ query: search.value, view: state.view === "overview" && search.value ? "graph" : state.view });
    const first = found()[0];
    if (search.value.trim() && first && state.view === "graph") centre(graph.nodes.get(`op ${first.i}`));
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") jump(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") {
      setQuery("");
      search.blur();
    }
  });
}

// --- theme -----------------------------------------------------------------------------------------------------

function setUpTheme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("minilite-report-theme");
  } catch {
    // Some browsers keep nothing for pages from files.
  }
  const apply = () => {
    const dark = chosen ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", dark);
    button.textContent = dark ? "☀" : "☾";
    if (graph.svg) drawMap();
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("minilite-report-theme", chosen);
    } catch {
      // Then it lasts as long as the page.
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

// --- keys --------------------------------------------------------------------------------------------------------

function setUpKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea") || document.querySelector("dialog[open]");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const here = state.selected?.kind === "op" ? state.selected.number : -1;
    const acts = {
      "/": () => search.focus(),
      1: () => change({ view: "overview" }),
      2: () => change({ view: "graph" }),
      3: () => change({ view: "table" }),
      "]": () => operatorAt(here + 1) && select("op", here + 1),
      "[": () => operatorAt(here - 1) && select("op", here - 1),
      Escape: () => (state.query ? setQuery("") : change({ selected: null })),
      n: () => state.query && jump(1),
      p: () => state.query && jump(-1),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });
}

// --- the address ----------------------------------------------------------------------------------------------------

function writeAddress() {
  const { view, selected } = state;
  const address = [view, state.subgraph, selected && `${selected.kind}-${selected.number}`].filter((item) => item !== null && item !== 0);
  history.replaceState(null, "", `#${address.join("/")}`);
}

function readAddress() {
  const words = decodeURIComponent(location.hash.slice(1)).split("/");
  const view = VIEWS.includes(words[0]) ? words[0] : "overview";
  const part = words.map(Number).find((number) => report.subgraphs[number]) ?? 0;
  const [, kind, digits] = words.map((word) => /^(op|tensor)-(\d+)$/.exec(word)).find(Boolean) ?? [];
  const number = Number(digits);
  const known = kind === "op" ? report.subgraphs[part].operators[number] : report.subgraphs[part].tensors[number];
  Object.assign(state, { view, subgraph: part, selected: kind && known ? { kind, number } : null });
}

// --- all together ------------------------------------------------------------------------------------------------------

onChange((changed) => {
  if (changed.has("view")) showView();
  if (changed.has("subgraph")) {
    document.getElementById("subgraph").value = state.subgraph;
    drawGraph();
    drawTable();
  }
  if (changed.has("query")) {
    markMatches();
    drawTable();
  }
  if (changed.has("selected") || changed.has("view") || changed.has("subgraph") || changed.has("look")) {
    drawDetail();
    markSelected();
    const row = markRow(state.view === "table");
    if (changed.has("selected") && row && state.view === "table") row.scrollIntoView({ block: "nearest" });
    const node = selectedNode();
    if (node && state.view === "graph" && graph.svg.clientWidth) centre(node);
  }
  if (changed.has("selected") && state.selected?.kind === "op") {
    const operator = operatorAt(state.selected.number);
    announce(`operator ${operator.i}, ${operator.name}`);
  }
  showMatches();
  writeAddress();
});

document.getElementById("title").textContent = report.title;
readAddress();
document.getElementById("subgraph").value = state.subgraph;
setUpTheme();
setUpTabs();
setUpSubgraphs();
setUpSearch();
setUpKeys();
showView();
setUpGraph();
setUpTable();
drawOverview();
drawDetail();
