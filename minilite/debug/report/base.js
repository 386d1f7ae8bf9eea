// What everything else stands on: the data, what is chosen now, making elements, writing numbers.
// Names in the data come from a model file, that is from strangers: they become text nodes and nothing else.

const report = JSON.parse(document.getElementById("data").textContent);

const state = { view: "overview", subgraph: 0, selected: null, query: "" };
const listeners = [];

/** Call `listener(changed)` with the set of changed fields after each change. */
function onChange(listener) {
  listeners.push(listener);
}

/** Change the state and tell everybody; `selected` is {kind: "op" | "tensor", number} or null. */
function change(fields) {
  const changed = new Set(Object.keys(fields).filter((key) => state[key] !== fields[key]));
  Object.assign(state, fields);
  if (changed.size) for (const listener of listeners) listener(changed);
}

function select(kind, number) {
  const now = state.selected;
  if (now && now.kind === kind && now.number === number) return;
  change({ selected: { kind, number } });
}

function isSelected(kind, number) {
  return state.selected !== null && state.selected.kind === kind && state.selected.number === number;
}

// --- the subgraph in view ---------------------------------------------------------------------------

function subgraph() {
  return report.subgraphs[state.subgraph];
}

function operatorAt(number) {
  return subgraph().operators[number];
}

function tensorAt(number) {
  return subgraph().tensors[number];
}

const usesBySubgraph = new Map();

/** Writers and readers of the subgraph's tensors, by tensor number. */
function uses() {
  if (!usesBySubgraph.has(state.subgraph)) {
    const writer = new Map();
    const readers = new Map();
    for (const operator of subgraph().operators) {
      for (const number of new Set(operator.inputs)) {
        if (!readers.has(number)) readers.set(number, []);
        readers.get(number).push(operator.i);
      }
      for (const number of operator.outputs) writer.set(number, operator.i);
    }
    usesBySubgraph.set(state.subgraph, { writer, readers });
  }
  return usesBySubgraph.get(state.subgraph);
}

/**
 * Whether an operator has every word of the query in its number, its type, or the name of a tensor that it
 * makes or is the one to hold: what others make is found there. `=CONV_2D` is that type and no other.
 */
function matches(operator, query = state.query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const { writer } = uses();
  const own = [...operator.outputs, ...operator.inputs.filter((number) => !writer.has(number))];
  const names = own.map((number) => tensorAt(number)?.name ?? "");
  const text = `#${operator.i} ${operator.name} ${names.join(" ")}`.toLowerCase();
  return words.every((word) => (word.startsWith("=") ? operator.name.toLowerCase() === word.slice(1) : text.includes(word)));
}

// --- colours of operator types ------------------------------------------------------------------------

const HUES = 8;

/** The types that take most time (or are most frequent) have a colour of their own, by class name. */
const hueOfType = (() => {
  const weight = new Map();
  for (const part of report.subgraphs) {
    for (const operator of part.operators) {
      weight.set(operator.name, (weight.get(operator.name) ?? 0) + (operator.share ?? 0) + 1e-4);
    }
  }
  const names = [...weight.keys()].sort((a, b) => weight.get(b) - weight.get(a));
  return new Map(names.slice(0, HUES).map((name, position) => [name, `hue${position}`]));
})();

function hue(name) {
  return hueOfType.get(name) ?? "hue-rest";
}

// --- making elements ------------------------------------------------------------------------------------

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** A bar as long as `part` (0 to 1) of its room. */
function bar(part, className = "") {
  const inner = element("span");
  inner.style.setProperty("inline-size", `${Math.max(0, Math.min(1, part)) * 100}%`);
  return element("span", { class: `meter ${className}`, "aria-hidden": "true" }, inner);
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// --- writing numbers ------------------------------------------------------------------------------------

function scaled(value, unit, step = 1000) {
  const prefixes = ["", "k", "M", "G", "T"];
  let power = 0;
  while (Math.abs(value) >= step && power < prefixes.length - 1) {
    value /= step;
    power += 1;
  }
  const digits = power === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${prefixes[power]}${unit}`.trimEnd();
}

const write = {
  bytes: (value) => (value === null || value === undefined ? "–" : scaled(value, "B")),
  count: (value) => (value === null || value === undefined ? "–" : scaled(value, "")),
  ms: (value) => (value === undefined || value === null ? "–" : `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`),
  share: (value) => {
    if (value === undefined || value === null) return "–";
    return value > 0 && value < 0.0005 ? "<0.1 %" : `${(value * 100).toFixed(1)} %`;
  },
  shape: (sizes) => (sizes.length ? sizes.map((size) => (size < 0 ? "?" : size)).join("×") : "scalar"),
  type: (name) => name.toLowerCase(),
  number: (value) => {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
    const size = Math.abs(value);
    return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(5)));
  },
};

/** The number that a code of a tensor stands for; the code itself where there is no single scale. */
function realOf(tensor, code) {
  const quantization = tensor.quantization;
  if (code === null || code === undefined) return code;
  if (!quantization || quantization.count !== 1 || tensor.type.startsWith("FLOAT")) return code;
  return quantization.scales[0] * (code - quantization.zeros[0]);
}

function isCoded(tensor) {
  return Boolean(tensor.quantization) && tensor.quantization.count === 1 && !tensor.type.startsWith("FLOAT");
}
