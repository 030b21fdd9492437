// The page: what is drawn, dropped, pasted or chosen goes through framing and model, and what came out is shown.

import { read } from "./files.js";
import { PictureError, prepare } from "./framing.js";
import { bytesOf, Model } from "./model.js";
import { Pad } from "./pad.js";

const SURE = 0.9; // of the calibrated confidence
const LIKELY = 0.6;
const BARS = 12; // classes shown at most
const SLOW = 50; // milliseconds of a prediction above which a stroke is classified only when it ends
const at = (id) => document.getElementById(id);
const percent = (share) => (share > 0.99 ? "over 99%" : `${(100 * share).toFixed(share > 0.1 ? 0 : 1)}%`);

/** What the model makes of a picture, in words; `order` has the classes, the likeliest first. */
function inWords(classes, confidence, order) {
  const [first, second] = order;
  if (confidence[first] >= SURE) return `${classes[first]}: ${percent(confidence[first])} sure`;
  if (confidence[first] >= LIKELY) return `Probably ${classes[first]} (${percent(confidence[first])})`;
  const named = order.slice(0, confidence[first] + confidence[second] >= LIKELY ? 2 : 3);
  return `Unsure: looks like ${named.map((place) => classes[place]).join(" or ")}`;
}

/** Change a text that is read aloud only where it differs. */
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

/** Lay the map of a class over the picture: the stronger, the more it speaks for the class. */
function showMap(canvas, picture, maps, label) {
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
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

class Page {
  constructor(facts, model) {
    Object.assign(this, { facts, model, turn: 0, ms: 0, waiting: false });
    this.pad = new Pad(at("pad"), at("brush"), () => this.soon());
    this.makeGallery();
    this.listen();
  }

  makeGallery() {
    const { images, labels } = this.facts.gallery;
    const pixels = bytesOf(images);
    const size = pixels.length / labels.length;
    labels.forEach((label, number) => {
      const picture = pixels.subarray(number * size, (number + 1) * size);
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const truth = this.facts.classes[label];
      button.setAttribute("aria-label", `Test image ${number + 1}, labelled ${truth}`);
      button.title = `labelled ${truth}`;
      showPixels(button.appendChild(document.createElement("canvas")), picture, this.facts.shape);
      button.addEventListener("click", () => this.classify(picture, `A test image, labelled ${truth}.`, ++this.turn));
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

  /** Classify the drawing before the next picture on the screen; where that takes long, at the end of the stroke. */
  soon() {
    at("answer").setAttribute("aria-busy", String(this.pad.pointer !== null));
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.pad.pointer !== null && this.ms > SLOW) return;
      if (this.pad.strokes.length) this.show(this.pad.picture, "Your drawing.", ++this.turn);
      else this.refuse("Draw something, or choose a picture.", ++this.turn);
    });
  }

  /** Classify a file, unless something else was given meanwhile. */
  async take(file) {
    const turn = ++this.turn;
    try {
      if (!file) throw new PictureError("That is no file. Drop a picture file.");
      this.show(await read(file), `Your picture “${file.name}”.`, turn);
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      this.refuse(error.message, turn);
    } finally {
      at("file").value = "";
    }
  }

  show(picture, note, turn) {
    try {
      this.classify(prepare(picture, this.facts.shape, this.facts.framing), note, turn);
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
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
    const { classes, shape } = this.facts;
    const { confidence, maps, ms } = this.model.predict(pixels);
    const order = confidence.map((_, place) => place).sort((one, other) => confidence[other] - confidence[one]);
    this.ms = ms;
    say("answer", inWords(classes, confidence, order));
    say(
      "next",
      `Then ${order
        .slice(1, 3)
        .map((label) => `${classes[label]} (${percent(confidence[label])})`)
        .join(", ")}.`,
    );
    say("note", note);
    at("took").textContent = `${ms.toFixed(1)} ms, ${this.model.backend}`;
    this.showBars(confidence, order);
    showPixels(at("seen"), pixels, shape);
    at("looked").hidden = !maps;
    if (maps) {
      showMap(at("map"), at("seen"), maps, order[0]);
      at("map").setAttribute("aria-label", `The places that spoke for ${classes[order[0]]}, in orange`);
    }
    at("evidence").hidden = false;
    document.body.dataset.label = String(order[0]);
  }

  showBars(confidence, order) {
    const shown = order.length > BARS ? order.slice(0, BARS) : confidence.map((_, place) => place);
    const rows = shown.map((label) => {
      const row = at("bar").content.firstElementChild.cloneNode(true);
      row.querySelector(".name").textContent = this.facts.classes[label];
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
    at("answer").textContent = `The model in this page does not load (${error.message}). Build the page again: ${rebuild}`;
    document.body.dataset.state = "failed";
    throw error;
  }
}

main();
