// The panel beside graph and table: everything about the selected operator or tensor.

const CONTACT_SHEET = 30;

function drawDetail() {
  const panel = document.getElementById("detail");
  const chosen = state.selected;
  panel.hidden = state.view === "overview";
  panel.scrollTop = 0;
  if (!chosen) {
    panel.replaceChildren(
      element(
        "div",
        { class: "empty" },
        element("p", {}, "Select an operator in the graph or the table."),
        element("p", {}, element("kbd", {}, "/"), " find  ", element("kbd", {}, "↑"), element("kbd", {}, "↓"), " along the graph"),
        callersOfSubgraph(),
      ),
    );
    return;
  }
  const parts = chosen.kind === "op" ? operatorDetail(operatorAt(chosen.number)) : tensorDetail(chosen.number);
  panel.replaceChildren(...parts.filter(Boolean));
}

/** Which operators run the subgraph in view. */
function callersOfSubgraph() {
  if (!subgraph().callers.length) return "";
  const go = ([part, number]) => change({ subgraph: part, selected: { kind: "op", number } });
  const links = subgraph().callers.map((caller) => element("button", { class: "link", onclick: () => go(caller) }, `#${caller[1]} ${report.subgraphs[caller[0]].operators[caller[1]].name}`));
  return element("p", {}, "This subgraph runs inside ", links.flatMap((link, i) => (i ? [", ", link] : [link])), ".");
}

function operatorDetail(operator) {
  const last = subgraph().operators.length - 1;
  const go = (text, label, number) => element("button", { class: "round", "aria-label": label, title: label, disabled: number < 0 || number > last, onclick: () => select("op", number) }, text);
  const head = element(
    "header",
    { class: `head ${hue(operator.name)}` },
    element("i", { class: "dot", "aria-hidden": "true" }),
    element("div", {}, element("h2", {}, operator.name), element("p", {}, `operator ${operator.i}`)),
    element("div", { class: "steps" }, go("‹", "Previous operator", operator.i - 1), go("›", "Next operator", operator.i + 1)),
  );
  const facts = [
    ["Time", operator.ms === undefined ? null : [write.ms(operator.ms), element("small", {}, write.share(operator.share)), bar(operator.share, "wide")]],
    ["Multiply-adds", operator.multiply_adds ? [write.count(operator.multiply_adds), rate(operator)] : operator.multiply_adds === null ? "unknown" : "0"],
    ["Output memory", write.bytes(operator.memory)],
    ["Weights", operator.weights ? write.bytes(operator.weights) : "none"],
  ].filter(([, value]) => value !== null);
  return [
    head,
    element("dl", { class: "facts" }, facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    remarks(operator),
    errorsOf(operator),
    optionsOf(operator),
    element("section", {}, element("h3", {}, operator.outputs.length === 1 ? "Output" : "Outputs"), operator.outputs.map((number) => tensorCard(number, { open: true }))),
    element("section", {}, element("h3", {}, operator.inputs.length === 1 ? "Input" : "Inputs"), operator.inputs.map((number) => (number < 0 ? element("p", { class: "quiet" }, "left out (optional)") : tensorCard(number, {})))),
  ];
}

function rate(operator) {
  return operator.ms > 0 ? element("small", {}, `${((operator.multiply_adds * 2) / operator.ms / 1e6).toFixed(1)} GFLOP/s`) : null;
}

function remarks(operator) {
  const lines = [];
  if (operator.fault) lines.push(element("p", { class: "remark bad" }, operator.fault));
  if (operator.folded) lines.push(element("p", { class: "remark" }, "Its inputs are constants: it was computed before the run, which has nothing left to do."));
  else if (operator.compiled === false && operator.ms !== undefined) lines.push(element("p", { class: "remark" }, "Not one compiled kernel: Python runs it, by its NumPy reference or by the subgraphs that it calls."));
  if (operator.joined) {
    const others = operator.joined.filter((number) => number !== operator.i);
    lines.push(element("p", { class: "remark joined" }, "An ordinary run joins it with ", others.map((number, i) => [i ? ", " : "", operatorLink(number)]), " to one step; here each ran alone."));
  }
  for (const note of operator.notes ?? []) lines.push(element("p", { class: "remark quiet" }, note));
  return lines.length ? element("div", { class: "remarks" }, lines) : null;
}

function operatorLink(number) {
  return element("button", { class: "link", onclick: () => select("op", number) }, `#${number} ${operatorAt(number).name}`);
}

function errorsOf(operator) {
  if (!operator.errors) return null;
  const { errors } = operator;
  const rows = report.comparison.columns.map((column) => [column.title, writeError(errors[column.key], column)]);
  if (errors.tolerance) rows.push(["Tolerance", errors.tolerance]);
  if (errors.largest !== 0 && errors.worst.length) rows.push(["Worst at", errors.worst.join(", ")]);
  return element("section", {}, element("h3", {}, `Against ${report.comparison.against}`), errors.fault ? element("p", { class: "remark bad" }, errors.fault) : null, element("dl", { class: "pairs" }, rows.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}

function writeError(value, column) {
  if (value === null || value === undefined) return "–";
  if (column.kind === "text" || typeof value === "string") return String(value);
  return column.kind === "share" ? write.share(value) : write.number(value);
}

function optionsOf(operator) {
  const entries = Object.entries(operator.options ?? {});
  if (!entries.length) return null;
  const value = (name, content) => {
    if (name.endsWith("subgraph_index") && report.subgraphs[content]) {
      return element("button", { class: "link", onclick: () => change({ subgraph: content, selected: null }) }, `subgraph ${content} ${report.subgraphs[content].name}`);
    }
    if (Array.isArray(content)) return content.length ? content.map((item) => (typeof item === "object" ? JSON.stringify(item) : item)).join(", ") : "none";
    return typeof content === "object" && content !== null ? JSON.stringify(content) : String(content);
  };
  return element("section", {}, element("h3", {}, "Options"), element("dl", { class: "pairs" }, entries.map(([name, content]) => [element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, value(name, content))])));
}

// --- tensors -------------------------------------------------------------------------------------------------------

function tensorDetail(number) {
  const tensor = tensorAt(number);
  const role = subgraph().inputs.includes(number) ? "input of the model" : subgraph().outputs.includes(number) ? "output of the model" : tensor.constant ? "constant" : "tensor";
  return [
    element("header", { class: "head" }, element("i", { class: "dot", "aria-hidden": "true" }), element("div", {}, element("h2", {}, tensor.name || `tensor ${number}`), element("p", {}, `${role} · tensor ${number}`))),
    element("section", {}, tensorCard(number, { open: true })),
  ];
}

/** A tensor: its name, type and shape, who writes and reads it; open, its figures and pictures, too. */
function tensorCard(number, { open = false }) {
  const tensor = tensorAt(number);
  const { writer, readers } = uses();
  const from = writer.get(number);
  const others = (readers.get(number) ?? []).filter((i) => !isSelected("op", i));
  const body = element("div", { class: "body" });
  const card = element(
    "details",
    { class: `tensor ${tensor.constant ? "constant" : ""}`, open },
    element(
      "summary",
      {},
      element("span", { class: "name", title: tensor.name }, tensor.name || `tensor ${number}`),
      element("span", { class: "type" }, `${write.type(tensor.type)} `, element("b", {}, write.shape(tensor.shape))),
    ),
    body,
  );
  const links = element(
    "p",
    { class: "links" },
    from !== undefined && !isSelected("op", from) ? ["from ", operatorLink(from)] : null,
    subgraph().inputs.includes(number) ? "from the model's input" : null,
    others.length ? ["to ", others.slice(0, 8).map(operatorLink), others.length > 8 ? `and ${others.length - 8} more` : null] : null,
    tensor.constant ? (from === undefined ? "constant in the file" : "known before the run") : null,
  );
  card.querySelector("summary").append(links.childNodes.length ? links : "");
  // What a card shows is made when it is opened: an operator may have dozens of inputs.
  const fillBody = () => {
    if (card.open && !body.childNodes.length) body.append(...tensorBody(tensor));
  };
  card.addEventListener("toggle", fillBody);
  if (open) fillBody();
  return card;
}

function tensorBody(tensor) {
  return [picturesOf(tensor), linePlot(tensor), textsOf(tensor), histogramOf(tensor), figuresOf(tensor), quantizationOf(tensor)].filter(Boolean);
}

function picturesOf(tensor) {
  const parts = [];
  if (tensor.colours) parts.push(element("img", { class: "colours", src: pictureAddress(tensor.colours), alt: `${tensor.name} as a picture` }));
  if (tensor.omitted) parts.push(element("p", { class: "quiet" }, tensor.omitted));
  if (tensor.sheet) {
    const count = shownChannels(tensor.sheet).length;
    const room = element("div", { class: count === 1 ? "contact one" : "contact", role: "group", "aria-label": "Channels" });
    room.style.setProperty("--ratio", `${tensor.sheet.width} / ${tensor.sheet.height}`);
    parts.push(room);
    pixelsOf(`sheet-${tensor.i}`).then((pixels) => {
      const thumbs = Array.from({ length: Math.min(count, CONTACT_SHEET) }, (_, i) => thumbnail(pixels, tensor.sheet, i, (position) => openChannels(tensor, position)));
      room.replaceChildren(...thumbs);
    });
    const all = count === 1 ? "Enlarge" : count > CONTACT_SHEET ? `All ${count} channels` : "Channels side by side";
    parts.push(element("button", { class: "plain", "data-act": "channels", onclick: () => openChannels(tensor) }, all));
    if (tensor.sheet.note) parts.push(element("p", { class: "quiet" }, tensor.sheet.note));
  } else if (!tensor.constant && !tensor.stats && state.subgraph > 0) {
    parts.push(element("p", { class: "quiet" }, "No values: this subgraph runs inside the operators that call it."));
  }
  return parts.length ? element("div", { class: "pictures" }, parts) : null;
}

function linePlot(tensor) {
  const line = tensor.line;
  if (!line) return null;
  if (line.values) return element("p", { class: "values" }, line.values.map((value) => element("code", {}, value === null ? "not finite" : write.number(value))));
  const { curve, low, high } = plotted(line);
  return element(
    "figure",
    { class: "plot" },
    curve,
    element("figcaption", {}, element("span", {}, `${write.number(low)} … ${write.number(high)}`), element("span", {}, `${line.count} values${line.high ? ", lowest and highest of each stretch" : ""}`)),
  );
}

/** The curve of a line, or the area between its lowest and highest values. */
function plotted(line) {
  const [width, height] = [360, 110];
  const upper = line.high ?? line.low;
  const known = [...line.low, ...upper].filter((value) => value !== null);
  const [low, high] = [Math.min(...known, 0), Math.max(...known, 0)];
  const x = (i) => (i / Math.max(1, line.low.length - 1)) * width;
  const y = (value) => height - 4 - (((value ?? 0) - low) / (high - low || 1)) * (height - 8);
  const there = line.low.map((value, i) => `${x(i).toFixed(1)},${y(upper[i]).toFixed(1)}`);
  const back = line.low.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).reverse();
  const shape = line.high ? drawn("polygon", { class: "area", points: [...there, ...back].join(" ") }) : drawn("polyline", { class: "curve", points: there.join(" ") });
  const zero = drawn("line", { class: "zero", x1: 0, x2: width, y1: y(0), y2: y(0) });
  const label = `${line.count} values from ${write.number(low)} to ${write.number(high)}`;
  const curve = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, zero, shape);
  return { curve, low, high };
}

function textsOf(tensor) {
  return tensor.text ? element("ol", { class: "texts" }, tensor.text.map((text) => element("li", {}, text))) : null;
}

function histogramOf(tensor) {
  const found = tensor.histogram;
  if (!found || found.counts.length < 2) return null;
  const [width, height] = [360, 72];
  const figure = element("figure", { class: "histogram" });
  let logarithmic = false;
  const paint = () => {
    const size = (count) => (logarithmic ? Math.log1p(count) : count);
    const most = Math.max(...found.counts.map(size)) || 1;
    const step = width / found.counts.length;
    const bars = found.counts.map((count, i) => {
      const tall = count ? Math.max(1, (size(count) / most) * (height - 4)) : 0;
      const middle = found.low + ((i + 0.5) / found.counts.length) * (found.high - found.low);
      return drawn("rect", { x: i * step + 0.4, y: height - tall, width: Math.max(0.5, step - 0.8), height: tall }, drawn("title", {}, `${count} at about ${write.number(middle)}`));
    });
    const zero = (-found.low / (found.high - found.low)) * width;
    const axis = found.low < 0 && found.high > 0 ? drawn("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: height }) : null;
    const codes = isCoded(tensor) ? ` (codes ${write.number(tensor.stats.min)} … ${write.number(tensor.stats.max)})` : "";
    figure.replaceChildren(
      drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Histogram from ${write.number(found.low)} to ${write.number(found.high)}`, preserveAspectRatio: "none" }, axis, bars),
      element("figcaption", {}, element("span", {}, write.number(found.low)), element("button", { class: "link", "aria-pressed": logarithmic, title: "Height of the bars", onclick: () => { logarithmic = !logarithmic; paint(); figure.querySelector("button").focus(); } }, logarithmic ? "logarithmic" : "linear"), element("span", {}, `${write.number(found.high)}${codes}`)),
    );
  };
  paint();
  return figure;
}

function figuresOf(tensor) {
  const stats = tensor.stats;
  if (!stats) return null;
  const both = (code) => (isCoded(tensor) ? [write.number(realOf(tensor, code)), element("small", {}, `code ${write.number(code)}`)] : write.number(code));
  const share = (count) => (stats.count ? [write.share(count / stats.count), element("small", {}, count)] : "–");
  const rows = [
    ["min", both(stats.min)],
    ["max", both(stats.max)],
    ["mean", both(stats.mean)],
    ["zeros", share(stats.zeros)],
    stats.nan ? ["NaN", share(stats.nan), "bad"] : null,
    stats.infinite ? ["infinite", share(stats.infinite), "bad"] : null,
    stats.saturated === undefined ? null : ["saturated", write.share(stats.saturated)],
    stats.unused_codes === undefined ? null : ["unused codes", String(stats.unused_codes)],
    ["elements", write.count(stats.count)],
    ["memory", write.bytes(tensor.bytes)],
  ].filter(Boolean);
  return element("dl", { class: "figures" }, rows.map(([name, value, className]) => element("div", { class: className }, element("dt", {}, name), element("dd", {}, value))));
}

function quantizationOf(tensor) {
  const found = tensor.quantization;
  if (!found) return null;
  const text =
    found.count === 1
      ? `real = ${write.number(found.scales[0])} × (code − ${found.zeros[0]})`
      : `${found.count} scales along axis ${found.axis}, ${write.number(found.low)} … ${write.number(found.high)}`;
  return element("p", { class: "quantization" }, element("span", {}, "quantized"), element("code", {}, text));
}
