// The page: classify every drawing and every dropped, pasted or chosen image, and show the prediction.

import { isolated, read } from "./files.js";
import { ImageError, prepare } from "./framing.js";
import { bytesOf, Model } from "./model.js";
import { Pad } from "./pad.js";

const CONFIDENT = 0.9; // calibrated confidence from which the class alone is named
const LIKELY = 0.6; // and from which it is named as probable
const BARS = 12; // classes shown at most
const SLOW = 50; // milliseconds per prediction; above it a stroke is classified only at its end, so that drawing stays smooth
const at = (id) => document.getElementById(id);
const percent = (fraction) => (fraction > 0.99 ? "over 99%" : `${(100 * fraction).toFixed(fraction > 0.1 ? 0 : 1)}%`);

/** Return the prediction in words; `order` lists the classes, likeliest first. */
function inWords(classes, confidence, order) {
  const [first, second] = order;
  if (confidence[first] >= CONFIDENT) return `${classes[first]}: ${percent(confidence[first])} confidence`;
  if (confidence[first] >= LIKELY) return `Probably ${classes[first]} (${percent(confidence[first])})`;
  const named = order.slice(0, confidence[first] + confidence[second] >= LIKELY ? 2 : 3);
  return `Uncertain: perhaps ${named.map((place) => classes[place]).join(" or ")}`;
}

/** Change a text only if it differs, as screen readers announce each change. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function showPixels(canvas, pixels, [height, width, channels]) {
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * place + channel] = pixels[place * channels + (channels === 1 ? 0 : channel)];
    }
    image.data[4 * place + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Draw the map of a class over the image: the stronger the colour, the more evidence for the class. */
function showMap(canvas, background, maps, label) {
  const [, height, width, classes] = maps.shape;
  const values = Array.from({ length: height * width }, (_, place) => Math.max(0, maps.values[place * classes + label]));
  const highest = Math.max(...values, 1e-9);
  const small = Object.assign(document.createElement("canvas"), { width, height });
  const image = small.getContext("2d").createImageData(width, height);
  values.forEach((value, place) => {
    image.data.set([255, 140, 0, Math.round((200 * value) / highest)], 4 * place);
  });
  small.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(background, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

class Page {
  constructor(facts, model) {
    Object.assign(this, { facts, model, turn: 0, ms: 0, waiting: false });
    this.names = facts.classes.map(isolated);
    this.pad = new Pad(at("pad"), at("brush"), () => this.soon());
    this.makeGallery();
    this.listen();
  }

  makeGallery() {
    const { images, labels } = this.facts.gallery;
    const pixels = bytesOf(images);
    const size = pixels.length / labels.length;
    labels.forEach((label, number) => {
      const image = pixels.subarray(number * size, (number + 1) * size);
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const truth = this.names[label];
      button.setAttribute("aria-label", `Test image ${number + 1}, labelled ${truth}`);
      button.title = `labelled ${truth}`;
      showPixels(button.appendChild(document.createElement("canvas")), image, this.facts.shape);
      button.addEventListener("click", () => this.classify(image, `A test image, labelled ${truth}.`, ++this.turn));
      at("gallery").append(button);
    });
    at("gallery").firstElementChild?.click();
  }

  listen() {
    at("undo").addEventListener("click", () => this.pad.keep(this.pad.strokes.slice(0, -1)));
    at("clear").addEventListener("click", () => this.pad.keep([]));
    at("file").addEventListener("change", () => this.take(at("file").files[0]));
    addEventListener("paste", (event) => event.clipboardData?.files.length && this.take(event.clipboardData.files[0]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.take(event.dataTransfer?.files[0]);
    });
    at("card-open").addEventListener("click", () => at("card").showModal());
  }

  /** Classify the drawing before the next screen refresh or, if that takes too long, at the end of the stroke. */
  soon() {
    at("answer").setAttribute("aria-busy", String(this.pad.pointer !== null));
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.pad.pointer !== null && this.ms > SLOW) return;
      if (this.pad.strokes.length) this.show(this.pad.image, "Your drawing.", ++this.turn);
      else this.refuse("Draw something, or choose an image.", ++this.turn);
    });
  }

  /** Classify a file, unless another input came in the meantime. */
  async take(file) {
    const turn = ++this.turn;
    try {
      if (!file) throw new ImageError("That is not a file. Drop an image file.");
      this.show(await read(file), `Your image “${isolated(file.name)}”.`, turn);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      this.refuse(error.message, turn);
    } finally {
      at("file").value = "";
    }
  }

  show(image, note, turn) {
    try {
      this.classify(prepare(image, this.facts.shape, this.facts.framing, this.facts.fit), note, turn);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      this.refuse(error.message, turn);
    }
  }

  refuse(sentence, turn) {
    if (turn !== this.turn) return;
    say("answer", sentence);
    at("evidence").hidden = true;
    document.body.dataset.label = "";
  }

  classify(pixels, note, turn) {
    if (turn !== this.turn) return;
    const { names, facts } = this;
    const { confidence, maps, ms } = this.model.predict(pixels);
    const order = confidence.map((_, place) => place).sort((one, other) => confidence[other] - confidence[one]);
    this.ms = ms;
    say("answer", inWords(names, confidence, order));
    say(
      "next",
      `Next: ${order
        .slice(1, 3)
        .map((label) => `${names[label]} (${percent(confidence[label])})`)
        .join(", ")}.`,
    );
    say("note", note);
    at("took").textContent = `${ms.toFixed(1)} ms, ${this.model.backend}`;
    this.showBars(confidence, order);
    showPixels(at("seen"), pixels, facts.shape);
    at("looked").hidden = !maps;
    if (maps) {
      showMap(at("map"), at("seen"), maps, order[0]);
      at("map").setAttribute("aria-label", `Evidence for ${names[order[0]]}, in orange`);
    }
    at("evidence").hidden = false;
    document.body.dataset.label = String(order[0]);
  }

  showBars(confidence, order) {
    const shown = order.length > BARS ? order.slice(0, BARS) : confidence.map((_, place) => place);
    const rows = shown.map((label) => {
      const row = at("bar").content.firstElementChild.cloneNode(true);
      row.querySelector(".name").textContent = this.names[label];
      row.querySelector(".value").textContent = percent(confidence[label]);
      row.querySelector(".fill").style.width = `${100 * confidence[label]}%`;
      row.classList.toggle("first", label === order[0]);
      return row;
    });
    at("bars").replaceChildren(...rows);
  }
}

async function main() {
  try {
    const facts = JSON.parse(at("facts").textContent);
    const inside = at("wasm")?.textContent;
    const wasm = inside ? URL.createObjectURL(new Blob([bytesOf(inside)], { type: "application/wasm" })) : facts.wasm;
    const model = await Model.load(facts, wasm);
    const page = new Page(facts, model);
    globalThis.osemn = { facts, model, page, prepare }; // for the console and for tests
    document.body.dataset.state = "ready";
  } catch (error) {
    const { rebuild } = at("answer").dataset;
    at("answer").textContent = `The model in this page cannot be loaded (${error.message}). Build the page again: ${rebuild}`;
    document.body.dataset.state = "failed";
    throw error;
  }
}

main();
