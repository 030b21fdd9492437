// The explorer: filters, a gallery that draws only what is visible, a confusion matrix, a map, and one image in large.
// Names of classes, groups and files come from the data, so they are only ever set as text.
const content = JSON.parse(document.getElementById("content").textContent);
const { classes, paths, groups, side, columns, tests } = content;
const SCALE = 65535; // of probabilities and places, which are saved in two bytes
const TILE = side <= 32 ? 56 : 112; // pixels: images of 28 pixels at twice their size, photographs four to a phone's width
const GAP = 6;
const MOST_NAMES = 30; // classes of a matrix that can be read; beyond, the most frequent confusions are listed
const MOST_PAIRS = 40;
const MOST_BITMAPS = columns > 1 ? Number.POSITIVE_INFINITY : 300; // of single photographs: 60 MB decoded
const MOST_ON_MAP = 150; // images drawn on the map instead of dots, so that they hardly overlap
const COLORS = "#0072B2 #E69F00 #009E73 #D55E00 #56B4E9 #CC79A7 #B8A800 #000000 #8C6D31 #999999".split(" ");
const WRONG = "#D55E00";
const MARKED = "#0072B2";

const find = (id) => document.getElementById(id);
const form = find("filters");
const percent = (share) => `${(100 * share).toFixed(1)}%`;

function numbers(text, Kind) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < bytes.length; place++) bytes[place] = binary.charCodeAt(place);
  return new Kind(bytes.buffer);
}

function tag(name, text, attributes = {}, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const rows = numbers(content.rows, Uint32Array);
const labels = numbers(content.labels, Uint16Array);
const copied = numbers(content.copied, Uint8Array);
const part = (image) => (image < tests ? "test" : "train"); // test images come first
const nameOf = (image) => `${image < tests ? "" : "t"}${rows[image]}`;
const placeOfName = new Map(Array.from(rows, (_, image) => [nameOf(image), image]));
const models = content.candidates.map((given) => {
  const made = { name: given.name, label: given.label };
  for (const key of ["top", "probabilities", "ofLabel", "places", "alike"]) made[key] = numbers(given[key], Uint16Array);
  made.errors = new Map(Object.entries(given.labelErrors).map(([place, error]) => [Number(place), error]));
  made.count = made.top.length / rows.length;
  made.unknown = given.unknown && numbers(given.unknown, Float32Array);
  made.maps = given.maps && { ...given.maps, values: numbers(given.maps.values, Uint8Array) };
  made.mapOf = new Map(given.maps ? Array.from(numbers(given.maps.images, Uint16Array), (image, place) => [image, place]) : []);
  return made;
});
const predicted = (model, image) => model.top[image * model.count];
const confidence = (model, image) => model.probabilities[image * model.count] / SCALE;

// What is shown: the model, the images that pass the filters in their order, and which of them is the current one.
let model = models.find((one) => one.name === content.model);
let view = [];
let inView = new Uint8Array(rows.length);
let at = 0;
let opened = -1;

const titled = (image) => (image < tests ? `Image ${rows[image]}` : `Training image ${rows[image]}`);

function describe(image) {
  const parts = [`${titled(image)}: true ${classes[labels[image]]}`];
  const right = predicted(model, image) === labels[image];
  parts.push(`predicted ${classes[predicted(model, image)]} with ${percent(confidence(model, image))}`);
  parts.push(right ? "correct" : "misclassified");
  const error = model.errors.get(image);
  if (error) parts.push(`possible label error, suggested ${classes[error[0]]}`);
  if (copied[image]) parts.push("copy or group in the training part");
  return parts.join(", ");
}

// --- Filters -------------------------------------------------------------------------------------------------------------

const FIELDS = ["c", "t", "p", "r", "m", "d", "g", "lo", "hi", "s"];
const DEFAULTS = { c: content.model, s: "index" };

function passes(values, image) {
  const guess = predicted(model, image);
  const sure = 100 * confidence(model, image);
  return (
    (values.d === "both" || part(image) === (values.d || "test")) &&
    (values.r === "" || (guess === labels[image]) === (values.r === "right")) &&
    (values.m === "" || (values.m === "error" ? model.errors.has(image) : copied[image] === 1)) &&
    (values.g === "" || groups[image] === values.g) &&
    (values.lo === "" || sure >= Number(values.lo)) &&
    (values.hi === "" || sure <= Number(values.hi))
  );
}

function inOrder(list, order) {
  const plausible = (image) => model.errors.get(image)?.[1] ?? 1 + model.ofLabel[image];
  const key = {
    loss: (image) => model.ofLabel[image], // the loss is minus its logarithm
    high: (image) => -model.probabilities[image * model.count],
    low: (image) => model.probabilities[image * model.count],
    error: plausible,
    unknown: (image) => -(model.unknown?.[image] ?? Number.NEGATIVE_INFINITY), // training images last
  }[order];
  return key ? list.sort((one, other) => key(one) - key(other) || one - other) : list;
}

function refresh() {
  const values = Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
  model = models.find((one) => one.name === values.c);
  const counts = new Uint32Array(classes.length ** 2);
  const chosen = [];
  inView = new Uint8Array(rows.length);
  for (let image = 0; image < rows.length; image++) {
    if (!passes(values, image)) continue;
    const guess = predicted(model, image);
    counts[labels[image] * classes.length + guess]++;
    if ((values.t !== "" && labels[image] !== Number(values.t)) || (values.p !== "" && guess !== Number(values.p))) continue;
    chosen.push(image);
    inView[image] = 1;
  }
  view = inOrder(chosen, values.s);
  at = 0;
  const wrong = view.filter((image) => predicted(model, image) !== labels[image]).length;
  const some = (count, noun) => `${count.toLocaleString("en")} ${noun}`;
  const ofTest = view.filter((image) => image < tests).length;
  const amount =
    values.d === "both"
      ? `${some(ofTest, "images")} of the test part, ${view.length - ofTest} of the training part`
      : some(view.length, `of ${some(values.d === "train" ? rows.length - tests : tests, "images")}`);
  find("count").textContent = `${amount}; ${some(wrong, "misclassified")}.`;
  showMatrix(counts, values);
  gallery.scrollTop = 0;
  sayCurrent();
  drawSoon();
  remember();
}

// The address holds every value that is not the default, so that a view can be sent.
function remember() {
  const shown = new URLSearchParams();
  for (const name of FIELDS) {
    const { value } = form.elements[name];
    if (value !== (DEFAULTS[name] ?? "")) shown.set(name, value);
  }
  if (opened >= 0) shown.set("i", nameOf(opened));
  history.replaceState(null, "", `#${shown}`);
}

function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) {
    const field = form.elements[name];
    field.value = asked.get(name) ?? DEFAULTS[name] ?? "";
    if (field.selectedIndex === -1) field.value = DEFAULTS[name] ?? ""; // an address of another report
  }
  const image = asked.has("i") ? placeOfName.get(asked.get("i")) : undefined;
  opened = image ?? -1;
  refresh();
  if (image === undefined) find("image").close();
  else open(image);
}

// --- Thumbnails ----------------------------------------------------------------------------------------------------------

const bitmaps = new Map(); // decoded sheets, the most recently used last
const loading = new Set();
const sheets = content.near ? [...content.sheets, ...content.near.sheets] : content.sheets;

function bitmap(sheet) {
  const known = bitmaps.get(sheet);
  if (known) {
    bitmaps.delete(sheet);
    bitmaps.set(sheet, known);
  } else if (!loading.has(sheet)) {
    loading.add(sheet);
    const image = new Image();
    image.src = `data:image/jpeg;base64,${sheets[sheet]}`;
    image
      .decode()
      .then(() => createImageBitmap(image))
      .then((decoded) => {
        bitmaps.set(sheet, decoded);
        loading.delete(sheet);
        if (bitmaps.size > MOST_BITMAPS) bitmaps.delete(bitmaps.keys().next().value);
        drawSoon();
      });
  }
  return known;
}

function paint(context, image, left, top, size) {
  const perSheet = columns * columns;
  const among = image < tests ? image : image - tests + Math.ceil(tests / perSheet) * perSheet; // training starts a sheet
  return paintFrom(content, 0, among, context, left, top, size);
}

// Draw a thumbnail of sheets of one kind, the first of which is named; return whether it was decoded already.
function paintFrom(kind, first, among, context, left, top, size) {
  const place = among % kind.columns ** 2;
  const sheet = bitmap(first + Math.floor(among / kind.columns ** 2));
  context.imageSmoothingEnabled = kind.side > size;
  context.fillStyle = "#808080";
  context.fillRect(left, top, size, size);
  const [across, down] = [(place % kind.columns) * kind.cell, Math.floor(place / kind.columns) * kind.cell];
  if (sheet) context.drawImage(sheet, across, down, kind.side, kind.side, left, top, size, size);
  return Boolean(sheet);
}

function fitted(canvas, width, height) {
  const dots = window.devicePixelRatio;
  if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

let waiting = false;
function drawSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const complete = drawGallery();
    drawMap();
    drawLarge();
    if (complete) document.body.dataset.state = "ready";
  });
}

// --- Gallery -------------------------------------------------------------------------------------------------------------

const gallery = find("gallery");
const tall = gallery.firstElementChild;
const current = gallery.querySelector("[role=option]");
const step = TILE + GAP;
const perRow = () => Math.max(1, Math.floor((gallery.clientWidth - GAP) / step));

function drawGallery() {
  const across = perRow();
  tall.style.height = `${Math.max(gallery.clientHeight, Math.ceil(view.length / across) * step + GAP)}px`;
  const context = fitted(tall.querySelector("canvas"), gallery.clientWidth, gallery.clientHeight);
  const first = Math.floor(gallery.scrollTop / step);
  const last = Math.ceil((gallery.scrollTop + gallery.clientHeight) / step);
  let complete = true;
  for (let place = first * across; place < Math.min(last * across, view.length); place++) {
    const left = GAP + (place % across) * step;
    const top = GAP + Math.floor(place / across) * step - gallery.scrollTop;
    complete = paint(context, view[place], left, top, TILE) && complete;
    mark(context, view[place], left, top);
    if (place === at && document.activeElement === gallery) {
      context.strokeStyle = getComputedStyle(gallery).color;
      context.lineWidth = 3;
      context.strokeRect(left - 3, top - 3, TILE + 6, TILE + 6);
    }
  }
  return complete;
}

function mark(context, image, left, top) {
  const right = left + TILE;
  if (predicted(model, image) !== labels[image]) {
    context.strokeStyle = WRONG;
    context.lineWidth = 3;
    context.strokeRect(left + 1.5, top + 1.5, TILE - 3, TILE - 3);
    context.fillStyle = WRONG;
    context.fillRect(left, top, 14, 14);
    context.strokeStyle = "#ffffff";
    context.lineWidth = 2;
    context.stroke(new Path2D(`M${left + 4} ${top + 4}l6 6m0 -6l-6 6`));
  }
  context.fillStyle = MARKED;
  if (model.errors.has(image)) context.fill(new Path2D(`M${right - 16} ${top}h16v16z`));
  if (copied[image]) context.fill(new Path2D(`M${right - 9} ${top + TILE - 9}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0`));
}

// A new id makes a screen reader read the option again.
function sayCurrent() {
  const id = view.length ? `image-${view[at]}` : "image-none";
  const text = view.length ? describe(view[at]) : "No image passes the filters";
  if (current.id === id && current.textContent === text) return;
  current.id = id;
  current.textContent = text;
  current.setAttribute("aria-selected", "true");
  current.setAttribute("aria-posinset", Math.min(at + 1, view.length));
  current.setAttribute("aria-setsize", view.length);
  gallery.setAttribute("aria-activedescendant", id);
}

function moveTo(place) {
  at = Math.max(0, Math.min(view.length - 1, place));
  const top = Math.floor(at / perRow()) * step;
  if (top < gallery.scrollTop) gallery.scrollTop = top;
  const bottom = top + step + GAP - gallery.clientHeight;
  if (bottom > gallery.scrollTop) gallery.scrollTop = bottom;
  sayCurrent();
  drawSoon();
}

gallery.addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor(gallery.clientHeight / step)) * perRow();
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow(), ArrowDown: perRow(), PageUp: -page, PageDown: page };
  moves.Home = -view.length;
  moves.End = view.length;
  if (event.key in moves) moveTo(at + moves[event.key]);
  else if ((event.key === "Enter" || event.key === " ") && view.length) open(view[at]);
  else return;
  event.preventDefault();
});
gallery.addEventListener("click", (event) => {
  const box = gallery.getBoundingClientRect();
  const across = Math.floor((event.clientX - box.left - GAP / 2) / step);
  const place = Math.floor((event.clientY - box.top + gallery.scrollTop - GAP / 2) / step) * perRow() + across;
  if (across < 0 || across >= perRow() || place >= view.length) return;
  moveTo(place);
  open(view[place]);
});
for (const happening of ["scroll", "focus", "blur"]) gallery.addEventListener(happening, drawSoon);

// --- Confusion matrix ----------------------------------------------------------------------------------------------------

const matrix = find("matrix");
const cells = [];

function cellButton(truth, guess) {
  const made = tag("button", "", { type: "button", tabindex: "-1" });
  made.addEventListener("click", () => {
    const again = form.elements.t.value === String(truth) && form.elements.p.value === String(guess);
    form.elements.t.value = again ? "" : truth;
    form.elements.p.value = again ? "" : guess;
    refresh();
    find("count").scrollIntoView({ block: "nearest" });
  });
  return made;
}

function startMatrix() {
  const short = classes.length > MOST_NAMES;
  const only = `The ${MOST_PAIRS} most frequent confusions of ${classes.length} classes.`;
  const about = short ? only : "Rows are true classes, columns predicted ones. The arrow keys move from cell to cell.";
  find("matrix-about").textContent =
    `${about} A number opens its images. The counts follow all filters above but those of the two classes.`;
  if (short) return;
  const head = tag("tr", "", {}, tag("td", ""), ...classes.map((name) => tag("th", "", { scope: "col" }, tag("span", name))));
  const body = tag("tbody", "");
  classes.forEach((name, truth) => {
    const row = tag("tr", "", {}, tag("th", name, { scope: "row" }));
    classes.forEach((_, guess) => {
      cells.push(cellButton(truth, guess));
      row.append(tag("td", "", {}, cells.at(-1)));
    });
    body.append(row);
  });
  cells[0].tabIndex = 0;
  matrix.append(tag("table", "", {}, tag("thead", "", {}, head), body));
}

function showMatrix(counts, values) {
  const amount = classes.length;
  const name = (truth, guess, count) => `true ${classes[truth]}, predicted ${classes[guess]}: ${count} images`;
  if (amount > MOST_NAMES) {
    const pairs = Array.from(counts.keys()).filter((pair) => counts[pair] && pair % (amount + 1) !== 0);
    pairs.sort((one, other) => counts[other] - counts[one]);
    const head = ["true class", "predicted class", "images"].map((title) => tag("th", title, { scope: "col" }));
    const lines = pairs.slice(0, MOST_PAIRS).map((pair) => {
      const [truth, guess] = [Math.floor(pair / amount), pair % amount];
      const made = cellButton(truth, guess);
      made.tabIndex = 0;
      made.textContent = counts[pair];
      made.setAttribute("aria-label", name(truth, guess, counts[pair]));
      return tag("tr", "", {}, tag("th", classes[truth], { scope: "row" }), tag("td", classes[guess]), tag("td", "", {}, made));
    });
    matrix.replaceChildren(
      tag("table", "", {}, tag("thead", "", {}, tag("tr", "", {}, ...head)), tag("tbody", "", {}, ...lines)),
    );
    return;
  }
  for (let truth = 0; truth < amount; truth++) {
    const total = counts.subarray(truth * amount, (truth + 1) * amount).reduce((sum, count) => sum + count, 0);
    for (let guess = 0; guess < amount; guess++) {
      const [button, count] = [cells[truth * amount + guess], counts[truth * amount + guess]];
      button.textContent = count;
      button.className = count ? "" : "none";
      button.setAttribute("aria-label", name(truth, guess, count));
      button.setAttribute("aria-pressed", values.t === String(truth) && values.p === String(guess));
      // the square root keeps small fractions, the mistakes, visible
      button.style.setProperty("--share", `${Math.round(55 * Math.sqrt(total ? count / total : 0))}%`);
      button.style.setProperty("--of", truth === guess ? MARKED : WRONG);
    }
  }
}

matrix.addEventListener("keydown", (event) => {
  const place = cells.indexOf(event.target);
  const amount = classes.length;
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -amount, ArrowDown: amount }[event.key];
  const next = place < 0 || !move ? undefined : cells[place + move];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  event.preventDefault();
});

// --- Map -----------------------------------------------------------------------------------------------------------------

const map = find("map");
const seen = { x: 0.5, y: 0.5, zoom: 1 };
const mapSize = () => [map.clientWidth, map.clientHeight].map((length) => 0.94 * length * seen.zoom);

function onMap(image) {
  const [x, y] = [model.places[2 * image] / SCALE, model.places[2 * image + 1] / SCALE];
  const [across, down] = mapSize();
  return [map.clientWidth / 2 + (x - seen.x) * across, map.clientHeight / 2 + (y - seen.y) * down];
}

function color(image) {
  const kind = find("colour").value;
  if (kind === "result") return predicted(model, image) === labels[image] ? MARKED : WRONG;
  return COLORS[(kind === "class" ? labels[image] : predicted(model, image)) % COLORS.length];
}

let mapVisible = false;
new IntersectionObserver(([entry]) => {
  mapVisible = entry.isIntersecting;
  drawSoon();
}).observe(map);

window.addEventListener("beforeprint", () => {
  mapVisible = true;
  drawMap();
});

function drawMap() {
  if (!mapVisible) return; // 10,000 dots would take half the time of a filter
  const [width, height] = [map.clientWidth, map.clientHeight];
  const context = fitted(map.firstElementChild, width, height);
  const visible = [];
  context.fillStyle = "#d0d0d0";
  for (let image = 0; image < tests; image++) {
    const [x, y] = onMap(image);
    if (x < 0 || y < 0 || x > width || y > height) continue;
    if (inView[image]) visible.push([image, x, y]);
    else context.fillRect(x - 1, y - 1, 2, 2);
  }
  const size = Math.min(TILE, 48);
  const dot = visible.length > 2000 ? 3 : 5;
  for (const [image, x, y] of visible) {
    const wrong = predicted(model, image) !== labels[image];
    if (visible.length <= MOST_ON_MAP) {
      context.fillStyle = color(image);
      context.fillRect(x - size / 2 - 3, y - size / 2 - 3, size + 6, size + 6);
      paint(context, image, x - size / 2, y - size / 2, size);
    } else {
      context.fillStyle = color(image);
      context.fillRect(x - dot / 2, y - dot / 2, wrong ? dot + 2 : dot, wrong ? dot + 2 : dot);
    }
  }
}

function showLegend() {
  const kind = find("colour").value;
  const names = kind === "result" ? ["correct", "misclassified"] : classes;
  const shades = kind === "result" ? [MARKED, WRONG] : COLORS;
  const entries = names.slice(0, COLORS.length).map((name, place) => {
    const swatch = tag("span", "", { class: "swatch" });
    swatch.style.backgroundColor = shades[place];
    const made = tag("li", "", {}, swatch);
    made.append(name);
    return made;
  });
  if (names.length > COLORS.length) entries.push(tag("li", `and ${names.length - COLORS.length} more, whose colours repeat`));
  find("legend").replaceChildren(...entries);
}

function nearest(x, y, within) {
  let best = -1;
  let distance = within;
  for (const image of view) {
    if (image >= tests) continue; // training images have no place
    const [left, top] = onMap(image);
    const away = Math.hypot(left - x, top - y);
    if (away < distance) [best, distance] = [image, away];
  }
  return best;
}

const inMiddle = () => nearest(map.clientWidth / 2, map.clientHeight / 2, Number.POSITIVE_INFINITY);
const sayNearest = (image) => {
  find("nearest").textContent = image < 0 ? "" : describe(image);
};

function zoomBy(factor) {
  seen.zoom = Math.max(1, Math.min(200, seen.zoom * factor));
  drawSoon();
}

map.addEventListener("keydown", (event) => {
  const stride = 0.1 / seen.zoom;
  const pan = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const zoom = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
  if (pan) [seen.x, seen.y] = [seen.x + stride * pan[0], seen.y + stride * pan[1]];
  else if (zoom) zoomBy(zoom);
  else if (event.key === "Enter" && inMiddle() >= 0) open(inMiddle());
  else return;
  event.preventDefault();
  sayNearest(inMiddle());
  drawSoon();
});
let grabbed = null;
map.addEventListener("pointerdown", (event) => {
  grabbed = { x: event.clientX, y: event.clientY, moved: false };
});
map.addEventListener("pointermove", (event) => {
  if (!grabbed) {
    sayNearest(nearest(event.offsetX, event.offsetY, 12));
    return;
  }
  const [right, down] = [event.clientX - grabbed.x, event.clientY - grabbed.y];
  if (!grabbed.moved && Math.hypot(right, down) < 4) return; // a finger trembles
  seen.x -= right / mapSize()[0];
  seen.y -= down / mapSize()[1];
  grabbed = { x: event.clientX, y: event.clientY, moved: true };
  drawSoon();
});
window.addEventListener("pointerup", (event) => {
  const clicked = grabbed && !grabbed.moved && map.contains(event.target);
  const image = clicked ? nearest(event.offsetX, event.offsetY, 24) : -1;
  grabbed = null;
  if (image >= 0) open(image);
});
window.addEventListener("pointercancel", () => {
  grabbed = null;
});
map.addEventListener("wheel", (event) => {
  if (document.activeElement !== map) return; // so that the page still scrolls
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.25 : 0.8);
});
find("closer").addEventListener("click", () => zoomBy(1.5));
find("farther").addEventListener("click", () => zoomBy(1 / 1.5));
find("colour").addEventListener("change", () => {
  showLegend();
  drawSoon();
});

// --- One image in large --------------------------------------------------------------------------------------------------

const dialog = find("image");

function drawLarge() {
  if (opened < 0) return;
  const size = Math.min(320, dialog.clientWidth - 40);
  const context = fitted(find("large"), size, size);
  paint(context, opened, 0, 0, size);
  if (find("mapped").checked && model.mapOf.has(opened)) drawOver(context, size);
  for (const canvas of find("alike").querySelectorAll("canvas")) {
    paint(fitted(canvas, TILE, TILE), Number(canvas.dataset.image), 0, 0, TILE);
  }
  for (const canvas of find("near").querySelectorAll("canvas")) {
    paintFrom(content.near, content.sheets.length, Number(canvas.dataset.image), fitted(canvas, TILE, TILE), 0, 0, TILE);
  }
}

// Draw the Grad-CAM map of the open image over it: the stronger, the more orange.
function drawOver(context, size) {
  const { width, height, values } = model.maps;
  const pixels = new ImageData(width, height);
  const first = model.mapOf.get(opened) * width * height;
  for (let place = 0; place < width * height; place++) {
    pixels.data.set([230, 85, 0, 0.7 * values[first + place]], 4 * place); // the image stays visible below
  }
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, size, size);
}

const near = content.near && {
  rows: numbers(content.near.rows, Uint32Array),
  labels: numbers(content.near.labels, Uint16Array),
};
const nearOf = new Map(); // by misclassified image of the model that is shown first: places of training images
if (near) {
  const [images, places] = [content.near.images, content.near.near].map((text) => numbers(text, Uint16Array));
  const amount = places.length / images.length;
  images.forEach((image, at) => {
    nearOf.set(image, places.subarray(at * amount, (at + 1) * amount));
  });
}

function showNear(image) {
  const places = model.name === content.model ? (nearOf.get(image) ?? []) : [];
  find("near-title").hidden = places.length === 0;
  const drawn = Array.from(places, (place) => {
    const name = `${classes[near.labels[place]]}, training image ${near.rows[place]}`;
    const canvas = tag("canvas", "", { "data-image": place, role: "img", "aria-label": name });
    return tag("figure", "", { title: content.near.paths[place] ?? name }, canvas, tag("figcaption", name));
  });
  find("near").replaceChildren(...drawn);
}

function table(head, lines) {
  const titles = head.map((title) => tag("th", title, { scope: "col" }));
  const body = lines.map(([first, ...others]) => {
    return tag("tr", "", {}, tag("th", first, { scope: "row" }), ...others.map((text) => tag("td", text)));
  });
  return tag("table", "", {}, tag("thead", "", {}, tag("tr", "", {}, ...titles)), tag("tbody", "", {}, ...body));
}

function compared(image) {
  const lines = models.map((one) => {
    const right = predicted(one, image) === labels[image] ? "correct" : "incorrect";
    const shares = [confidence(one, image), one.ofLabel[image] / SCALE];
    return [one.label, `${classes[predicted(one, image)]}, ${right}`, ...shares.map(percent)];
  });
  const scroll = { class: "scroll", tabindex: "0", role: "group", "aria-label": "All models" };
  return [tag("h3", "All models"), tag("div", "", scroll, table(["model", "prediction", "confidence", "true class"], lines))];
}

function open(image) {
  opened = image;
  at = Math.max(0, view.indexOf(image));
  const facts = [["True class", classes[labels[image]]]];
  const error = model.errors.get(image);
  const by = image < tests ? model.label : "cross-validated heads that were not trained on this image";
  if (error) facts.push(["Possible label error", `${classes[error[0]]} is much more probable for ${by}`]);
  if (copied[image]) facts.push(["Copy", "the training part has a copy, or another image of its group"]);
  if (groups[image]) facts.push(["Group", groups[image]]);
  if (paths[image]) facts.push(["Path", paths[image]]);
  if (model.unknown && image < tests) {
    const below = model.unknown.filter((score) => score < model.unknown[image]).length;
    facts.push(["Unlike the training images", `more than ${Math.floor((100 * below) / tests)}% of the test images`]);
  }
  const top = Array.from({ length: model.count }, (_, place) => image * model.count + place);
  find("image-title").textContent = `Image ${rows[image]} of the ${image < tests ? "test" : "training"} part`;
  find("large").setAttribute("aria-label", describe(image));
  find("facts").replaceChildren(
    tag("dl", "", {}, ...facts.flatMap(([name, text]) => [tag("dt", name), tag("dd", text)])),
    tag("h3", `Most probable classes: ${by}`),
    table(
      ["class", "probability"],
      top.map((place) => [classes[model.top[place]], percent(model.probabilities[place] / SCALE)]),
    ),
    ...(image < tests ? compared(image) : []),
  );
  const amount = image < tests ? model.alike.length / tests : 0;
  find("alike-title").hidden = amount === 0;
  const alike = Array.from(model.alike.subarray(image * amount, (image + 1) * amount), (other) => {
    const made = tag("button", "", { type: "button", "aria-label": describe(other), title: describe(other) });
    made.append(tag("canvas", "", { "data-image": other, "aria-hidden": "true" }), tag("span", classes[labels[other]]));
    made.addEventListener("click", () => open(other));
    return made;
  });
  find("alike").replaceChildren(...alike);
  find("of-map").hidden = !model.mapOf.has(image);
  showNear(image);
  showDecision(image);
  if (!dialog.open) dialog.showModal();
  moveTo(at);
  remember();
}

function turn(by) {
  const place = view.indexOf(opened) + by;
  if (place >= 0 && place < view.length) open(view[place]);
}

find("previous").addEventListener("click", () => turn(-1));
find("next").addEventListener("click", () => turn(1));
find("close").addEventListener("click", () => dialog.close());
find("mapped").addEventListener("change", drawSoon);
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) turn(by);
});
dialog.addEventListener("close", () => {
  opened = -1;
  remember();
});

// --- Decisions about labels ----------------------------------------------------------------------------------------------

const HEAD = ["sha256", "path", "label", "decision", "new_label", "part"];
const DONE = { keep: "stays", relabel: "relabelled", drop: "dropped", unsure: "unsure" };
const decisions = new Map(); // by image: the decision and the new label
const earlier = new Map(content.earlier.map((line) => [`${line[0]} ${line[2]}`, line])); // what this run applied already
const sha256 = numbers(content.sha256, Uint8Array);
let unsaved = false;

function showDecision(image) {
  find("question").textContent = `Is the label “${classes[labels[image]]}” correct?`;
  const made = decisions.get(image);
  const guess = model.errors.get(image)?.[0] ?? predicted(model, image);
  find("new-label").value = made?.label ?? guess;
  const as = made?.decision === "relabel" ? ` as ${classes[made.label]}` : "";
  find("decision").textContent = made ? `${DONE[made.decision]}${as}` : "";
}

function decide(decision) {
  const label = Number(find("new-label").value);
  if (decision === "relabel" && label === labels[opened]) {
    find("decision").textContent = "This is its label already: choose another one";
    return;
  }
  decisions.set(opened, { decision, label });
  unsaved = true;
  showDecisions();
  showDecision(opened);
  turn(1);
}

function showDecisions() {
  const before = earlier.size ? `, and ${earlier.size} of earlier runs` : "";
  find("decided").textContent = decisions.size || earlier.size ? `Decisions: ${decisions.size}${before}.` : "";
  for (const id of ["save", "apply"]) find(id).hidden = decisions.size === 0;
}

function labelsFile() {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const lines = new Map(earlier);
  for (const [image, { decision, label }] of decisions) {
    const hash = Array.from(sha256.subarray(32 * image, 32 * image + 32), (byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    );
    const present = classes[labels[image]];
    // corrections start from the source's label, which an earlier one may have changed
    const before = content.earlier.find((line) => line[0] === hash && (line[3] === "relabel" ? line[4] : line[2]) === present);
    const original = before?.[2] ?? present;
    const changed = decision === "relabel" ? classes[label] : "";
    lines.set(`${hash} ${original}`, [hash, paths[image] ?? "", original, decision, changed, part(image)]);
  }
  return [HEAD, ...lines.values()].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

find("save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([labelsFile()], { type: "text/csv" }));
  tag("a", "", { href: address, download: "labels.csv" }).click();
  URL.revokeObjectURL(address);
  unsaved = false;
});
find("walk").addEventListener("click", () => {
  for (const name of FIELDS)
    form.elements[name].value = { c: model.name, d: rows.length > tests ? "both" : "", m: "error", s: "error" }[name] ?? "";
  refresh();
  const next = view.find((image) => !decisions.has(image));
  if (next !== undefined) open(next);
});
for (const button of find("review").querySelectorAll("button")) {
  button.addEventListener("click", () => decide(button.dataset.decision));
}
dialog.addEventListener("keydown", (event) => {
  const decision = { k: "keep", r: "relabel", d: "drop", u: "unsure" }[event.key.toLowerCase()];
  if (decision && event.target.tagName !== "SELECT" && !event.ctrlKey && !event.metaKey && !event.altKey) decide(decision);
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

// --- Start ---------------------------------------------------------------------------------------------------------------

function options(name, entries) {
  form.elements[name].append(...entries.map(([value, text]) => tag("option", text, { value })));
}

options(
  "c",
  models.map((one) => [one.name, one.label]),
);
for (const name of ["t", "p"]) options(name, Array.from(classes.entries()));
find("new-label").append(...classes.map((name, label) => tag("option", name, { value: label })));
showDecisions();
find("of-part").hidden = rows.length === tests;
find("of-group").hidden = groups.length === 0;
form.elements.s.querySelector("[value=unknown]").hidden = !models.some((one) => one.unknown);
find("groups").append(...[...new Set(groups)].sort().map((name) => tag("option", "", { value: name })));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", refresh);
form.addEventListener("reset", () => setTimeout(refresh)); // after the fields are reset
window.addEventListener("hashchange", recall);
window.addEventListener("resize", drawSoon);
startMatrix();
showLegend();
recall();
