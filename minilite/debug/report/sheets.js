// Sheets of thumbnails. A sheet is a grey picture that stays text until it is looked at; its grey is a
// value's place between the lowest and the highest of its channel, which stand in the data. So colours
// and a common scale are a matter of drawing.

const NOT_FINITE = 255;
const HIGHEST_SHADE = 31 * 8;
const KEPT_SHEETS = 12;

const COLOURINGS = {
  viridis: ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725"],
  grey: ["#000000", "#ffffff"],
  "around zero": ["#1d4e9e", "#5b8fd0", "#b9d2ea", "#f5f4f2", "#f3bfa9", "#d9694f", "#9c1c2b"],
};
const INVALID = [255, 0, 200];

const look = { colouring: "viridis", common: false };

function pictureAddress(name, kind = "png") {
  return `data:image/${kind};base64,${document.getElementById(`picture-${name}`).textContent}`;
}

const decoded = new Map();

/** The pixels of a picture in this file; the last few stay decoded. */
function pixelsOf(name) {
  const known = decoded.get(name);
  decoded.delete(name);
  const pixels = known ?? decode(name);
  decoded.set(name, pixels);
  if (decoded.size > KEPT_SHEETS) decoded.delete(decoded.keys().next().value);
  return pixels;
}

async function decode(name) {
  const image = new Image();
  image.src = pictureAddress(name);
  await image.decode();
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function anchors(name) {
  return COLOURINGS[name].map((text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16)));
}

function colourAt(stops, part) {
  const place = Math.max(0, Math.min(1, part)) * (stops.length - 1);
  const before = Math.min(Math.floor(place), stops.length - 2);
  return stops[before].map((value, i) => Math.round(value + (stops[before + 1][i] - value) * (place - before)));
}

/** Which channels a sheet shows: their numbers in the tensor. */
function shownChannels(sheet) {
  return typeof sheet.channels === "number" ? [...Array(sheet.channels).keys()] : sheet.channels;
}

function rangeOf(sheet, position) {
  if (!look.common) return [sheet.low[position] ?? 0, sheet.high[position] ?? 0];
  if (!sheet.range) {
    const finite = (values) => values.filter((value) => value !== null);
    sheet.range = [Math.min(...finite(sheet.low), Infinity), Math.max(...finite(sheet.high), -Infinity)];
  }
  return sheet.range;
}

/** The colour of each grey of one channel. */
function lookup(sheet, position) {
  const stops = anchors(look.colouring);
  const [low, high] = rangeOf(sheet, position);
  const ownLow = sheet.low[position] ?? 0;
  const ownSpan = (sheet.high[position] ?? 0) - ownLow;
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const colours = new Uint32Array(256);
  const packed = (rgb) => (255 << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0];
  for (let grey = 0; grey <= HIGHEST_SHADE; grey += 1) {
    const value = ownLow + (grey / HIGHEST_SHADE) * ownSpan;
    const part = look.colouring === "around zero" ? 0.5 + value / (2 * most) : high > low ? (value - low) / (high - low) : 0;
    colours[grey] = packed(colourAt(stops, part));
  }
  colours[NOT_FINITE] = packed(INVALID);
  return colours;
}

/** Draw the channel at a position of a sheet into a canvas of the tile's size. */
function drawTile(canvas, pixels, sheet, position) {
  const { width, height, columns } = sheet;
  const left = (position % columns) * width;
  const top = Math.floor(position / columns) * height;
  const colours = lookup(sheet, position);
  const tile = new ImageData(width, height);
  const target = new Uint32Array(tile.data.buffer);
  for (let y = 0; y < height; y += 1) {
    const row = ((top + y) * pixels.width + left) * 4;
    for (let x = 0; x < width; x += 1) target[y * width + x] = colours[pixels.data[row + x * 4]];
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(tile, 0, 0);
}

/** The value behind a pixel of a tile, as near as the shades tell; null where it is not finite. */
function valueAt(pixels, sheet, position, x, y) {
  const left = (position % sheet.columns) * sheet.width;
  const top = Math.floor(position / sheet.columns) * sheet.height;
  const grey = pixels.data[((top + y) * pixels.width + left + x) * 4];
  if (grey === NOT_FINITE) return null;
  return sheet.low[position] + (grey / HIGHEST_SHADE) * (sheet.high[position] - sheet.low[position]);
}

// --- one channel large, all channels in a grid -----------------------------------------------------------

const ORDERS = {
  "by number": () => 0,
  "widest first": (sheet) => (a, b) => sheet.high[b] - sheet.low[b] - (sheet.high[a] - sheet.low[a]),
  "highest first": (sheet) => (a, b) => sheet.high[b] - sheet.high[a],
  "lowest first": (sheet) => (a, b) => sheet.low[a] - sheet.low[b],
};

/** A button with a thumbnail; `pick(position)` is called when it is pressed. */
function thumbnail(pixels, sheet, position, pick) {
  const channel = shownChannels(sheet)[position];
  // A channel of one value has nothing to show but the value.
  const flat = sheet.low[position] !== null && sheet.low[position] === sheet.high[position];
  const canvas = element(flat ? "span" : "canvas", { class: "tile-face", "aria-hidden": "true" }, flat ? write.number(sheet.low[position]) : []);
  if (!flat) drawTile(canvas, pixels, sheet, position);
  const range = `${write.number(sheet.low[position])} … ${write.number(sheet.high[position])}`;
  const button = element(
    "button",
    { class: flat ? "thumb flat" : "thumb", type: "button", "aria-label": `channel ${channel}, ${range}`, title: `${channel}: ${range}`, "data-position": position, onclick: () => pick(position) },
    canvas,
  );
  return button;
}

function choice(label, names, value, pick) {
  const options = names.map((name) => element("option", { value: name, selected: name === value }, name));
  return element("label", { class: "choice" }, label, element("select", { onchange: (event) => pick(event.target.value) }, options));
}

/** The first channel that has more than one value. */
function firstWithShape(sheet) {
  return Math.max(0, sheet.low.findIndex((low, i) => low !== sheet.high[i]));
}

/** Open the dialog with all channels of a tensor, one of them large. */
async function openChannels(tensor, position = firstWithShape(tensor.sheet)) {
  const sheet = tensor.sheet;
  const dialog = document.getElementById("channels");
  const pixels = await pixelsOf(`sheet-${tensor.i}`);
  const numbers = shownChannels(sheet);
  let order = "by number";
  let current = position;

  const grid = element("div", { class: "grid", role: "group", "aria-label": "Channels" });
  grid.style.setProperty("--tile", `${Math.max(56, Math.min(128, sheet.width * 1.5))}px`);
  grid.style.setProperty("--ratio", `${sheet.width} / ${sheet.height}`);
  const large = element("canvas", { class: "large", role: "img" });
  const caption = element("div", { class: "caption" });
  const reading = element("output", { class: "reading" });
  const scale = element("canvas", { class: "scale", width: 256, height: 1, "aria-hidden": "true" });
  const scaleLow = element("span");
  const scaleHigh = element("span");

  function show(next) {
    current = next;
    drawTile(large, pixels, sheet, current);
    const range = `${write.number(sheet.low[current])} … ${write.number(sheet.high[current])}`;
    large.setAttribute("aria-label", `channel ${numbers[current]}, values ${range}`);
    caption.replaceChildren(element("strong", {}, `channel ${numbers[current]}`), element("span", {}, range));
    reading.textContent = "Point at a pixel to read it";
    for (const button of grid.children) button.setAttribute("aria-pressed", Number(button.dataset.position) === current);
    drawScale();
  }

  function drawScale() {
    const [low, high] = look.colouring === "around zero" ? zeroCentred(rangeOf(sheet, current)) : rangeOf(sheet, current);
    const stops = anchors(look.colouring);
    const line = new ImageData(256, 1);
    for (let x = 0; x < 256; x += 1) line.data.set([...colourAt(stops, x / 255), 255], x * 4);
    scale.getContext("2d").putImageData(line, 0, 0);
    scaleLow.textContent = write.number(low);
    scaleHigh.textContent = write.number(high);
  }

  function lay() {
    const compare = ORDERS[order](sheet);
    const positions = numbers.map((_, i) => i);
    if (compare) positions.sort(compare);
    grid.replaceChildren(...positions.map((i) => thumbnail(pixels, sheet, i, show)));
    show(current);
  }

  large.addEventListener("pointermove", (event) => {
    const box = large.getBoundingClientRect();
    const x = Math.min(sheet.width - 1, Math.floor(((event.clientX - box.left) / box.width) * sheet.width));
    const y = Math.min(sheet.height - 1, Math.floor(((event.clientY - box.top) / box.height) * sheet.height));
    const value = valueAt(pixels, sheet, current, Math.max(0, x), Math.max(0, y));
    const [fullHeight, fullWidth] = sheet.full;
    const place = `y ${Math.floor(((y + 0.5) * fullHeight) / sheet.height)}, x ${Math.floor(((x + 0.5) * fullWidth) / sheet.width)}`;
    reading.textContent = `${place}: ${value === null ? "not finite" : `≈ ${write.number(value)}${codeText(tensor, value)}`}`;
  });
  grid.addEventListener("keydown", (event) => moveInGrid(event, grid));

  const redraw = (field) => (value) => {
    look[field] = field === "common" ? value === "all channels" : value;
    lay();
    change({ look: { ...look } });
  };
  dialog.replaceChildren(
    element(
      "header",
      {},
      element("div", {}, element("h2", { id: "channels-title" }, tensor.name || `tensor ${tensor.i}`), element("p", {}, `${write.type(tensor.type)} ${write.shape(tensor.shape)} · ${sheet.axes}${sheet.note ? ` · ${sheet.note}` : ""}`)),
      element("button", { class: "round", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
    ),
    element(
      "div",
      { class: "controls" },
      choice("Order", Object.keys(ORDERS), order, (value) => {
        order = value;
        lay();
      }),
      choice("Scale", ["each channel", "all channels"], look.common ? "all channels" : "each channel", redraw("common")),
      choice("Colours", Object.keys(COLOURINGS), look.colouring, redraw("colouring")),
    ),
    element("div", { class: "split" }, grid, element("div", { class: "single" }, large, element("div", { class: "scale-row" }, scaleLow, scale, scaleHigh), caption, reading)),
  );
  large.style.setProperty("aspect-ratio", `${sheet.width} / ${sheet.height}`);
  lay();
  if (!dialog.open) dialog.showModal();
  grid.querySelector(`[data-position="${current}"]`)?.focus();
}

function zeroCentred([low, high]) {
  const most = Math.max(Math.abs(low), Math.abs(high));
  return [-most, most];
}

function codeText(tensor, real) {
  if (!isCoded(tensor)) return "";
  const { scales, zeros } = tensor.quantization;
  return ` (code ${Math.round(real / scales[0] + zeros[0])})`;
}

/** Arrow keys go from thumbnail to thumbnail, and show each. */
function moveInGrid(event, grid) {
  const tiles = [...grid.children];
  const here = tiles.indexOf(document.activeElement);
  if (here < 0) return;
  const across = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
  if (step === undefined || !tiles[here + step]) return;
  event.preventDefault();
  tiles[here + step].focus();
  tiles[here + step].click();
}
