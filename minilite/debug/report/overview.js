// The first view: what was run, what it saw, where the time goes.

function drawOverview() {
  const room = document.getElementById("overview");
  const parts = [summary(), segmentation(), ends(), element("div", { class: "columns" }, timeByType(), slowest()), largestErrors(), remarksOnRun()];
  room.replaceChildren(element("div", { class: "page" }, parts.filter(Boolean)));
}

function summary() {
  const main = report.subgraphs[0];
  const tiles = [
    [write.ms(report.run_milliseconds), "a run", `${report.backend}, ${report.threads} thread${report.threads === 1 ? "" : "s"}`],
    [write.ms(report.milliseconds), "operator by operator", `median of ${report.runs} run${report.runs === 1 ? "" : "s"}`],
    [String(main.operators.length), main.operators.length === 1 ? "operator" : "operators", report.subgraphs.length > 1 ? `and ${report.subgraphs.length - 1} more subgraph${report.subgraphs.length > 2 ? "s" : ""}` : `${new Set(main.operators.map((o) => o.name)).size} types`],
    [write.count(report.multiply_adds), "multiply-adds", ""],
    [write.bytes(report.weight_bytes), "weights", ""],
    [write.bytes(report.activation_bytes), "activations", "all of them together"],
  ];
  return element(
    "section",
    { class: "lead" },
    element("h2", {}, report.title),
    element("p", { class: "quiet" }, [report.description, `input: ${report.source}`].filter(Boolean).join(" · ")),
    element("div", { class: "tiles" }, tiles.map(([figure, name, note]) => element("div", { class: "tile card" }, element("strong", {}, figure), element("span", {}, name), element("small", {}, note)))),
    comparisonLine(),
  );
}

function comparisonLine() {
  if (!report.comparison) return null;
  const { against, judged, passed, summary, faults, notes, outputs } = report.comparison;
  const word = !passed ? "Differs from" : judged ? "Agrees with" : "Beside";
  const ends = outputs.map((output) => {
    const flips = output.flips ? `, ${output.flips[0]} of ${output.flips[1]} labels flip` : "";
    return `${output.name}: off by ${writeError(output.largest, { kind: "number" })} at most, ${write.share(output.elements ? output.unequal / output.elements : 0)} of ${output.elements} values differ${flips}`;
  });
  return element(
    "div",
    { class: `verdict card ${passed ? (judged ? "good" : "") : "bad"}` },
    element("p", {}, element("strong", {}, `${word} ${against}`), `: ${summary}.`),
    element("ul", {}, [...faults.slice(0, 6), ...ends, ...notes].map((line) => element("li", {}, line))),
  );
}

// --- segmentation ------------------------------------------------------------------------------------------------------

function segmentation() {
  const found = report.segmentation;
  if (!found) return null;
  const panel = (name, ...content) => element("figure", {}, element("div", { class: "frame" }, content), element("figcaption", {}, name));
  const photo = () => element("img", { src: pictureAddress(found.photo, "jpeg"), width: found.width, height: found.height, alt: "The photo" });
  const colours = element("canvas", { width: found.width, height: found.height, role: "img", "aria-label": "Classes laid over the photo" });
  const strength = element("input", { type: "range", min: 0, max: 100, value: 55, "aria-label": "How strongly the classes are laid over the photo" });
  const reading = element("output", { class: "reading" }, "Point at a pixel, or at a class");
  const setStrength = () => colours.style.setProperty("opacity", strength.value / 100);
  strength.addEventListener("input", setStrength);
  setStrength();
  const overlay = panel(element("label", { class: "strength" }, "overlay", strength), photo(), colours);
  const paint = overlayPainter(found, colours, reading, overlay);
  const legend = element("ul", { class: "classes" }, found.classes.map((item) => {
    const chip = element("i", { "aria-hidden": "true" });
    chip.style.setProperty("background", `rgb(${item.colour.join(" ")})`);
    const only = () => paint(item.label);
    return element("li", { tabindex: 0, onpointerenter: only, onfocus: only, onpointerleave: () => paint(null), onblur: () => paint(null) }, chip, element("span", {}, item.name), element("b", {}, item.share), bar(item.part));
  }));
  const mask = element("img", { src: pictureAddress(found.mask), width: found.width, height: found.height, alt: "The mask: each class in its colour" });
  return element(
    "section",
    {},
    element("h3", {}, "What it sees"),
    element("div", { class: "panels card" }, panel("photo", photo()), panel("mask", mask), overlay, element("div", { class: "legend-column" }, legend, reading)),
  );
}

/** Draws the mask over the photo, all of it or one class; tells the class under the pointer. */
function overlayPainter(found, canvas, reading, figure) {
  const byColour = new Map(found.classes.map((item) => [item.colour.join(), item]));
  const background = found.classes.find((item) => item.background);
  const whole = pixelsOf(found.mask);
  const context = canvas.getContext("2d");
  const classAt = (data, i) => (data[i + 3] === 0 ? background : byColour.get(`${data[i]},${data[i + 1]},${data[i + 2]}`));
  const paint = async (only) => {
    const pixels = await whole;
    const picture = new ImageData(new Uint8ClampedArray(pixels.data), pixels.width, pixels.height);
    if (only !== null) {
      for (let i = 0; i < picture.data.length; i += 4) {
        const isIt = classAt(pixels.data, i)?.label === only;
        // The other classes are dimmed, not hidden: where one is, is seen against the photo.
        picture.data.set(isIt ? [...(background?.label === only ? [255, 255, 255] : pixels.data.slice(i, i + 3)), 255] : [0, 0, 0, 160], i);
      }
    }
    context.putImageData(picture, 0, 0);
  };
  figure.querySelector(".frame").addEventListener("pointermove", async (event) => {
    const pixels = await whole;
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * pixels.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * pixels.height);
    if (x < 0 || y < 0 || x >= pixels.width || y >= pixels.height) return;
    reading.textContent = `y ${y}, x ${x}: ${classAt(pixels.data, (y * pixels.width + x) * 4)?.name ?? "?"}`;
  });
  paint(null);
  return paint;
}

// --- inputs and outputs ---------------------------------------------------------------------------------------------------

function ends() {
  const main = report.subgraphs[0];
  const card = (number, name, role) => {
    const tensor = main.tensors[number];
    if (!tensor) return null;
    const preview = previewOf(tensor);
    return element(
      "button",
      { class: "end card", onclick: () => change({ view: "graph", subgraph: 0, selected: { kind: "tensor", number } }) },
      preview,
      element("span", {}, element("small", {}, role), element("strong", {}, name || tensor.name), element("code", {}, `${write.type(tensor.type)} ${write.shape(tensor.shape)}`), tensor.stats ? element("small", {}, `${write.number(realOf(tensor, tensor.stats.min))} … ${write.number(realOf(tensor, tensor.stats.max))}`) : null),
    );
  };
  const row = (numbers, names, role) => numbers.slice(0, 12).map((number, i) => card(number, names[i], role));
  return element("section", {}, element("h3", {}, "Goes in, comes out"), element("div", { class: "ends" }, row(main.inputs, report.input_names, "input"), row(main.outputs, report.output_names, "output")));
}

/** A small picture of a tensor: its colours, its first channel, or its curve. */
function previewOf(tensor) {
  if (tensor.colours) return element("img", { src: pictureAddress(tensor.colours), alt: "" });
  if (tensor.line && !tensor.line.values) return element("span", { class: "preview" }, plotted(tensor.line).curve);
  if (!tensor.sheet) return null;
  const canvas = element("canvas", { class: "tile-face", "aria-hidden": "true" });
  pixelsOf(`sheet-${tensor.i}`).then((pixels) => drawTile(canvas, pixels, tensor.sheet, 0));
  return element("span", { class: "preview" }, canvas);
}

// --- time -------------------------------------------------------------------------------------------------------------------

function timeByType() {
  const sums = new Map();
  for (const operator of report.subgraphs[0].operators) {
    const sum = sums.get(operator.name) ?? { count: 0, ms: 0, share: 0 };
    sum.count += 1;
    sum.ms += operator.ms ?? 0;
    sum.share += operator.share ?? 0;
    sums.set(operator.name, sum);
  }
  const types = [...sums].sort(([, a], [, b]) => b.ms - a.ms);
  const most = types[0]?.[1].share || 1;
  const find = (name) => {
    setQuery(`=${name}`);
    change({ view: "graph", subgraph: 0 });
  };
  return element(
    "section",
    {},
    element("h3", {}, "Time by type"),
    element("div", { class: "rows card" }, types.slice(0, 10).map(([name, sum]) => element("button", { class: `row ${hue(name)}`, onclick: () => find(name) }, element("i"), element("span", { class: "what" }, name, element("small", {}, ` × ${sum.count}`)), bar(sum.share / most), element("b", {}, write.ms(sum.ms)), element("small", {}, write.share(sum.share))))),
  );
}

function slowest() {
  const operators = [...report.subgraphs[0].operators].sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0)).slice(0, 10);
  const most = operators[0]?.share || 1;
  const go = (number) => change({ view: "graph", subgraph: 0, selected: { kind: "op", number } });
  const shapeOf = (operator) => write.shape(report.subgraphs[0].tensors[operator.outputs[0]]?.shape ?? []);
  return element(
    "section",
    {},
    element("h3", {}, "Slowest operators"),
    element("div", { class: "rows card" }, operators.map((operator) => element("button", { class: `row ${hue(operator.name)}`, onclick: () => go(operator.i) }, element("i"), element("span", { class: "what" }, `#${operator.i} ${operator.name}`, element("small", {}, ` ${shapeOf(operator)}`)), bar(operator.share / most), element("b", {}, write.ms(operator.ms)), element("small", {}, write.share(operator.share))))),
  );
}

/** The operators whose own error is nearest to what they are allowed, or beyond. */
function largestErrors() {
  if (!report.comparison) return null;
  const part = ({ errors }) => (typeof errors.local === "string" ? Infinity : errors.local / (errors.allowed || Number.MIN_VALUE));
  const operators = report.subgraphs[0].operators.filter((operator) => operator.errors?.local).sort((a, b) => part(b) - part(a));
  const go = (number) => change({ view: "graph", subgraph: 0, selected: { kind: "op", number } });
  const number = { kind: "number" };
  const rows = operators.slice(0, 10).map((operator) =>
    element("button", { class: `row error ${hue(operator.name)}`, onclick: () => go(operator.i) }, element("i"), element("span", { class: "what" }, `#${operator.i} ${operator.name}`, element("small", {}, ` ${operator.errors.verdict}`)), bar(Math.min(1, part(operator)), part(operator) > 1 ? "over" : ""), element("b", {}, writeError(operator.errors.local, number)), element("small", {}, `of ${writeError(operator.errors.allowed, number)}`)),
  );
  return element(
    "section",
    {},
    element("h3", {}, "Largest errors of operators, beside what they are allowed"),
    rows.length ? element("div", { class: "rows card" }, rows) : element("p", { class: "quiet" }, "On equal inputs every operator gave equal bits."),
  );
}

function remarksOnRun() {
  const lines = [
    "Each operator ran by itself, so that its values could be kept; an ordinary run joins some and has no pauses between them. All times are medians.",
    ...report.notes,
  ];
  if (report.omitted.length) lines.push(`To keep this file small, pictures leave out channels of ${report.omitted.length} tensors (those whose values spread least): ${report.omitted.slice(0, 6).join("; ")}${report.omitted.length > 6 ? " …" : ""}. Statistics and histograms are of all values. A larger --budget shows more.`);
  return element("section", { class: "footnotes" }, element("h3", {}, "Remarks"), element("ul", {}, lines.map((line) => element("li", {}, line))), element("p", { class: "quiet" }, element("kbd", {}, "/"), " find, ", element("kbd", {}, "=CONV_2D"), " a type alone  ", element("kbd", {}, "1"), element("kbd", {}, "2"), element("kbd", {}, "3"), " views  ", element("kbd", {}, "["), element("kbd", {}, "]"), " operators in order  ", element("kbd", {}, "Esc"), ` back · minilite ${report.minilite}`));
}
