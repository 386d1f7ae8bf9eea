// The graph: boxes and lines where the file's layout puts them, in a view that zooms and moves.

const ZOOM = { least: 0.008, most: 3, step: 1.3, legible: 0.42, outlines: 0.22 };

const graph = { nodes: new Map(), edges: [], x: 0, y: 0, k: 1, colouring: "type" };

function setUpGraph() {
  const room = document.getElementById("graph");
  graph.world = drawn("g");
  graph.svg = drawn("svg", { class: "canvas", tabindex: 0, role: "application", "aria-roledescription": "graph", "aria-label": "The graph. Arrow keys go from operator to operator, plus and minus zoom, 0 shows all." }, graph.world);
  graph.legend = element("div", { class: "legend card", role: "group", "aria-label": "Types of operators" });
  graph.map = element("canvas", { class: "map card", "aria-hidden": "true" });
  const button = (text, label, act) => element("button", { class: "round", "aria-label": label, title: label, onclick: act }, text);
  room.append(
    graph.svg,
    graph.legend,
    element(
      "div",
      { class: "zoom card", role: "group", "aria-label": "Zoom" },
      button("+", "Zoom in", () => zoomBy(ZOOM.step)),
      button("−", "Zoom out", () => zoomBy(1 / ZOOM.step)),
      button("1:1", "Actual size", () => zoomBy(1 / graph.k)),
      button("⤢", "Show all", () => fitGraph()),
    ),
    graph.map,
  );
  handlePointers();
  handleMap();
  graph.svg.addEventListener("keydown", graphKey);
  new ResizeObserver(() => {
    if (!graph.placed && graph.svg.clientWidth) homeGraph();
    drawMap();
    placeWorld();
  }).observe(graph.svg);
  drawGraph();
}

// --- drawing -----------------------------------------------------------------------------------------------

function drawGraph() {
  const { nodes, edges } = subgraph().drawing;
  graph.nodes.clear();
  graph.placed = false;
  const slowest = Math.max(...subgraph().operators.map((operator) => operator.share ?? 0), 1e-9);
  const boxes = drawn("g", { class: "boxes" });
  for (const node of nodes) {
    const drawnNode = drawNode(node, slowest);
    const [kind, number] = node;
    const known = { node, element: drawnNode, above: [], below: [] };
    graph.nodes.set(kind === "op" || kind === "folded" ? `op ${number}` : `${kind} ${number}`, known);
    node.known = known;
    boxes.append(drawnNode);
  }
  graph.edges = edges.map(([source, target, tensor, points]) => {
    nodes[source].known.below.push(nodes[target].known);
    nodes[target].known.above.push(nodes[source].known);
    const path = drawn("path", { d: pathThrough(points), class: "edge" }, drawn("title", {}, edgeTitle(tensor)));
    return { source: nodes[source].known, target: nodes[target].known, path };
  });
  graph.world.replaceChildren(
    drawn("g", { class: "joins" }, joins(edges, nodes)),
    drawn("g", { class: "edges" }, graph.edges.map((edge) => edge.path)),
    boxes,
  );
  for (const node of nodes) delete node.known;
  drawLegend();
  markMatches();
  markSelected();
  if (graph.svg.clientWidth) homeGraph();
}

function drawNode([kind, number, x, y, width, height], slowest) {
  const group = drawn("g", { class: `node ${kind}`, transform: `translate(${x} ${y})` });
  const text = (content, className, left, top) => drawn("text", { class: className, x: left, y: top }, content);
  if (kind === "input" || kind === "output") {
    const tensor = tensorAt(number);
    group.append(
      drawn("rect", { class: "box", width, height, rx: height / 2 }),
      text(`${kind} ${shortened(tensor.name, 15)}`, "name", 18, 15),
      text(`${write.type(tensor.type)} ${write.shape(tensor.shape)}`, "shape", 18, 28),
      drawn("title", {}, tensor.name),
    );
    group.addEventListener("click", () => select("tensor", number));
    return group;
  }
  const operator = operatorAt(number);
  const output = tensorAt(operator.outputs[0]);
  group.classList.add(hue(operator.name));
  if (operator.fault || operator.errors?.verdict === "born") group.classList.add("faulty");
  group.append(drawn("rect", { class: "box", width, height, rx: 9 }), drawn("path", { class: "stripe", d: stripe(height) }));
  if (kind === "folded") {
    group.append(text(shortened(operator.name, 14), "shape", 12, 18));
  } else {
    group.append(
      text(shortened(operator.name, 17), "name", 14, 19),
      text(output ? `${write.shape(output.shape)}${operator.outputs.length > 1 ? ` +${operator.outputs.length - 1}` : ""}` : "", "shape", 14, 35),
      drawn("rect", { class: "track", x: 14, y: height - 11, width: width - 28, height: 4, rx: 2 }),
      drawn("rect", { class: "time", x: 14, y: height - 11, width: ((operator.share ?? 0) / slowest) * (width - 28), height: 4, rx: 2 }),
      text(`#${number}`, "number", width - 10, 19),
      text(operator.share >= 0.005 ? write.share(operator.share) : "", "number", width - 10, 35),
    );
  }
  group.append(drawn("title", {}, `#${number} ${operator.name}\n${operator.outputs.map((i) => tensorAt(i)?.name).join("\n")}`));
  group.addEventListener("click", () => select("op", number));
  return group;
}

/** The coloured left edge of a box with round corners. */
function stripe(height) {
  return `M5 0H9A9 9 0 0 0 0 9V${height - 9}A9 9 0 0 0 9 ${height}H5V0Z`;
}

function shortened(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function edgeTitle(number) {
  const tensor = tensorAt(number);
  return `${tensor.name}\n${write.type(tensor.type)} ${write.shape(tensor.shape)}`;
}

/** Straight down where points stand above each other, else an S. */
function pathThrough(points) {
  let path = `M${points[0]} ${points[1]}`;
  for (let i = 2; i < points.length; i += 2) {
    const [x0, y0, x1, y1] = points.slice(i - 2, i + 2);
    const middle = (y0 + y1) / 2;
    path += Math.abs(x0 - x1) < 0.5 ? `L${x1} ${y1}` : `C${x0} ${middle} ${x1} ${middle} ${x1} ${y1}`;
  }
  return path;
}

/** Broad lines between operators that an ordinary run joins to one. */
function joins(edges, nodes) {
  const joined = (position) => (nodes[position][0] === "op" ? operatorAt(nodes[position][1]).joined : undefined);
  return edges
    .filter(([source, target]) => joined(source)?.includes(nodes[target][1]) && joined(target))
    .map(([, , , points]) => drawn("path", { class: "join", d: pathThrough(points) }));
}

function drawLegend() {
  const counts = new Map();
  for (const operator of subgraph().operators) counts.set(operator.name, (counts.get(operator.name) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => hueRank(a) - hueRank(b) || counts.get(b) - counts.get(a));
  const chips = names.slice(0, 9).map((name) =>
    element("button", { class: `chip ${hue(name)}`, "aria-pressed": state.query === `=${name}`, title: `Find ${name}`, onclick: () => toggleQuery(name) }, element("i"), name, element("small", {}, counts.get(name))),
  );
  if (names.length > 9) chips.push(element("span", { class: "chip more" }, `and ${names.length - 9} more types`));
  if (subgraph().operators.some((operator) => operator.joined)) {
    chips.push(element("span", { class: "chip more" }, element("i", { class: "joined" }), "joined in a run"));
  }
  graph.legend.replaceChildren(...chips);
}

function hueRank(name) {
  return hueOfType.has(name) ? Number(hueOfType.get(name).slice(3)) : HUES;
}

function toggleQuery(name) {
  setQuery(state.query === `=${name}` ? "" : `=${name}`);
}

// --- marks -------------------------------------------------------------------------------------------------

function selectedNode() {
  if (!state.selected) return undefined;
  const { kind, number } = state.selected;
  return kind === "op" ? graph.nodes.get(`op ${number}`) : (graph.nodes.get(`input ${number}`) ?? graph.nodes.get(`output ${number}`));
}

function markSelected() {
  const chosen = selectedNode();
  for (const known of graph.nodes.values()) known.element.classList.toggle("selected", known === chosen);
  for (const edge of graph.edges) {
    edge.path.classList.toggle("into", chosen !== undefined && edge.target === chosen);
    edge.path.classList.toggle("outof", chosen !== undefined && edge.source === chosen);
  }
  drawMap();
}

function markMatches() {
  const searching = state.query.trim() !== "";
  graph.svg.classList.toggle("searching", searching);
  for (const [key, known] of graph.nodes) {
    const found = searching && key.startsWith("op ") && matches(operatorAt(known.node[1]));
    known.element.classList.toggle("match", found);
  }
  for (const chip of graph.legend.querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", `=${chip.title.slice("Find ".length)}` === state.query);
  }
  drawMap();
}

// --- moving --------------------------------------------------------------------------------------------------

function placeWorld() {
  graph.world.setAttribute("transform", `translate(${graph.x} ${graph.y}) scale(${graph.k})`);
  graph.svg.classList.toggle("far", graph.k < ZOOM.legible);
  graph.svg.classList.toggle("tiny", graph.k < ZOOM.outlines);
  if (!graph.mapDue) {
    graph.mapDue = true;
    requestAnimationFrame(() => {
      graph.mapDue = false;
      drawMap();
    });
  }
}

function zoomBy(factor, x = graph.svg.clientWidth / 2, y = graph.svg.clientHeight / 2) {
  cancelAnimationFrame(graph.gliding);
  const k = Math.max(ZOOM.least, Math.min(ZOOM.most, graph.k * factor));
  graph.x = x - ((x - graph.x) * k) / graph.k;
  graph.y = y - ((y - graph.y) * k) / graph.k;
  graph.k = k;
  placeWorld();
}

/** The top of the graph in legible size, or what is selected. */
function homeGraph() {
  graph.placed = true;
  const { width, height } = subgraph().drawing;
  const all = Math.min((graph.svg.clientWidth - 80) / width, (graph.svg.clientHeight - 80) / height);
  graph.k = width < graph.svg.clientWidth - 80 ? 1 : Math.min(1, Math.max(all, 0.8));
  const first = [...graph.nodes.values()][0]?.node ?? ["", 0, 0, 0, 0, 0];
  graph.x = graph.svg.clientWidth / 2 - (first[2] + first[4] / 2) * graph.k;
  graph.y = 36 - first[3] * graph.k;
  if (width * graph.k < graph.svg.clientWidth - 80) graph.x = (graph.svg.clientWidth - width * graph.k) / 2;
  placeWorld();
  const chosen = selectedNode();
  if (chosen) centre(chosen, false);
}

function fitGraph() {
  cancelAnimationFrame(graph.gliding);
  const { width, height } = subgraph().drawing;
  graph.k = Math.max(ZOOM.least, Math.min(1, (graph.svg.clientWidth - 60) / width, (graph.svg.clientHeight - 60) / height));
  graph.x = (graph.svg.clientWidth - width * graph.k) / 2;
  graph.y = (graph.svg.clientHeight - height * graph.k) / 2;
  placeWorld();
}

/** Bring a node to the middle, unless it is well in view already. */
function centre(known, smoothly = true, always = false) {
  const [, , x, y, width, height] = known.node;
  const k = Math.max(graph.k, 0.7);
  const [roomX, roomY] = [graph.svg.clientWidth, graph.svg.clientHeight];
  const [left, top] = [graph.x + x * graph.k, graph.y + y * graph.k];
  const inView = left > 20 && top > 60 && left + width * graph.k < roomX - 20 && top + height * graph.k < roomY - 40;
  if (inView && k === graph.k && !always) return;
  glide({ k, x: roomX / 2 - (x + width / 2) * k, y: roomY / 2 - (y + height / 2) * k }, smoothly);
}

function glide(goal, smoothly) {
  cancelAnimationFrame(graph.gliding);
  if (!smoothly || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    Object.assign(graph, goal);
    placeWorld();
    return;
  }
  const from = { k: graph.k, x: graph.x, y: graph.y };
  const begin = performance.now();
  const frame = (now) => {
    const part = Math.min(1, Math.max(0, (now - begin) / 260));
    const eased = 1 - (1 - part) ** 3;
    for (const key of ["k", "x", "y"]) graph[key] = from[key] + (goal[key] - from[key]) * eased;
    placeWorld();
    if (part < 1) graph.gliding = requestAnimationFrame(frame);
  };
  graph.gliding = requestAnimationFrame(frame);
}

// --- pointers, wheel, keys ------------------------------------------------------------------------------------

function handlePointers() {
  const pointers = new Map();
  let moved = false;
  const at = (event) => {
    const box = graph.svg.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  graph.svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    cancelAnimationFrame(graph.gliding);
    if (!pointers.size) moved = false;
    pointers.set(event.pointerId, at(event));
  });
  graph.svg.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    if (!moved && Math.hypot(now.x - before.x, now.y - before.y) < 4) return;
    if (!moved) {
      moved = true;
      // Not before it is a drag: a captured pointer's click would go to the canvas, not to the node.
      graph.svg.setPointerCapture(event.pointerId);
      graph.svg.classList.add("dragging");
    }
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const fixed = others[0][1];
      const wide = Math.hypot(before.x - fixed.x, before.y - fixed.y) || 1;
      zoomBy(Math.hypot(now.x - fixed.x, now.y - fixed.y) / wide, fixed.x, fixed.y);
    } else {
      graph.x += now.x - before.x;
      graph.y += now.y - before.y;
      placeWorld();
    }
    pointers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    graph.svg.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      graph.svg.classList.remove("dragging");
    });
  }
  graph.svg.addEventListener("click", (event) => {
    if (moved) event.stopPropagation();
    moved = false;
  }, true);
  graph.svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    cancelAnimationFrame(graph.gliding);
    const lines = event.deltaMode === 1 ? 30 : 1;
    if (event.shiftKey) {
      graph.x -= (event.deltaX || event.deltaY) * lines;
      placeWorld();
    } else {
      const { x, y } = at(event);
      zoomBy(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * 0.0022), x, y);
    }
  }, { passive: false });
}

function graphKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const acts = {
    "+": () => zoomBy(ZOOM.step),
    "=": () => zoomBy(ZOOM.step),
    "-": () => zoomBy(1 / ZOOM.step),
    0: fitGraph,
    Home: homeGraph,
    PageDown: () => glide({ k: graph.k, x: graph.x, y: graph.y - graph.svg.clientHeight * 0.8 }, true),
    PageUp: () => glide({ k: graph.k, x: graph.x, y: graph.y + graph.svg.clientHeight * 0.8 }, true),
    ArrowDown: () => walk((known) => known.below[0]),
    ArrowUp: () => walk((known) => known.above[0]),
    ArrowLeft: () => walk((known) => beside(known, -1)),
    ArrowRight: () => walk((known) => beside(known, 1)),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
}

function walk(step) {
  const here = selectedNode();
  const next = here ? step(here) : [...graph.nodes.values()][0];
  if (!next) return;
  const [kind, number] = next.node;
  select(kind === "input" || kind === "output" ? "tensor" : "op", number);
}

/** The nearest node to the left or right in about the same row. */
function beside(known, direction) {
  const middle = (node) => node[3] + node[5] / 2;
  return [...graph.nodes.values()]
    .filter((other) => (other.node[2] - known.node[2]) * direction > 0 && Math.abs(middle(other.node) - middle(known.node)) < 60)
    .sort((a, b) => (a.node[2] - b.node[2]) * direction)[0];
}

// --- the small map ---------------------------------------------------------------------------------------------

function mapScale() {
  const { width, height } = subgraph().drawing;
  const room = Math.max(120, graph.svg.clientHeight - 24);
  return { scale: Math.min(110 / width, room / height), width, height };
}

function drawMap() {
  if (!graph.svg.clientWidth || state.view !== "graph") return;
  const { scale, width, height } = mapScale();
  const [w, h] = [Math.max(36, width * scale), Math.max(24, height * scale)];
  const ratio = window.devicePixelRatio || 1;
  const pad = (w - width * scale) / 2;
  graph.map.width = w * ratio;
  graph.map.height = h * ratio;
  graph.map.style.setProperty("inline-size", `${w}px`);
  graph.map.style.setProperty("block-size", `${h}px`);
  const context = graph.map.getContext("2d");
  const style = getComputedStyle(graph.map);
  context.scale(ratio, ratio);
  const chosen = selectedNode();
  const searching = state.query.trim() !== "";
  for (const known of graph.nodes.values()) {
    const [kind, number, x, y, boxWidth, boxHeight] = known.node;
    const isOperator = kind === "op" || kind === "folded";
    const found = searching && isOperator && known.element.classList.contains("match");
    context.globalAlpha = searching && !found && known !== chosen ? 0.25 : 1;
    context.fillStyle = known === chosen ? style.getPropertyValue("--accent") : found ? style.getPropertyValue("--found") : style.getPropertyValue(isOperator ? `--${hue(operatorAt(number).name)}` : "--faint");
    context.fillRect(pad + x * scale, y * scale, Math.max(1.5, boxWidth * scale), Math.max(1, boxHeight * scale));
  }
  context.globalAlpha = 1;
  context.strokeStyle = style.getPropertyValue("--accent");
  context.lineWidth = 1.5;
  const view = [-graph.x / graph.k, -graph.y / graph.k, graph.svg.clientWidth / graph.k, graph.svg.clientHeight / graph.k];
  const [left, top] = [Math.max(0.75, pad + view[0] * scale), Math.max(0.75, view[1] * scale)];
  const [right, bottom] = [Math.min(w - 0.75, pad + (view[0] + view[2]) * scale), Math.min(h - 0.75, (view[1] + view[3]) * scale)];
  context.strokeRect(left, top, Math.max(3, right - left), Math.max(3, bottom - top));
}

function handleMap() {
  const go = (event) => {
    const box = graph.map.getBoundingClientRect();
    const { scale, width } = mapScale();
    const pad = (box.width - width * scale) / 2;
    graph.x = graph.svg.clientWidth / 2 - ((event.clientX - box.left - pad) / scale) * graph.k;
    graph.y = graph.svg.clientHeight / 2 - ((event.clientY - box.top) / scale) * graph.k;
    placeWorld();
  };
  graph.map.addEventListener("pointerdown", (event) => {
    graph.map.setPointerCapture(event.pointerId);
    go(event);
  });
  graph.map.addEventListener("pointermove", (event) => {
    if (event.buttons) go(event);
  });
}
