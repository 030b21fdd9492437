// The page: what is drawn, dropped, pasted or chosen goes through framing and model, and what came out is shown.

import { FileError, read } from "./files.js";
import { BlankError, prepare } from "./framing.js";
import { bytesOf, Model } from "./model.js";
import { Pad } from "./pad.js";

const SURE = 0.9; // of the calibrated confidence
const LIKELY = 0.6;
const BARS = 12; // classes shown at most
const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0.1 ? 0 : 1)}%`;

/** What the model makes of a picture, in words. */
function inWords(classes, confidence) {
  const order = confidence.map((_, place) => place).sort((one, other) => confidence[other] - confidence[one]);
  const [first] = order;
  if (confidence[first] >= SURE) return `${classes[first]}: ${percent(confidence[first])} sure`;
  if (confidence[first] >= LIKELY) return `Probably ${classes[first]} (${percent(confidence[first])})`;
  const named = order.slice(0, confidence[first] + confidence[order[1]] >= LIKELY ? 2 : 3);
  return `Unsure: looks like ${named.map((place) => classes[place]).join(" or ")}`;
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
    Object.assign(this, { facts, model });
    this.pad = new Pad(at("pad"), () => this.soon());
    this.waiting = false;
    this.makeBars();
    this.makeGallery();
    this.listen();
  }

  makeBars() {
    const template = at("bar").content.firstElementChild;
    this.bars = this.facts.classes.slice(0, BARS).map(() => at("bars").appendChild(template.cloneNode(true)));
  }

  makeGallery() {
    const { images, labels } = this.facts.gallery;
    const pixels = bytesOf(images);
    const size = this.facts.shape.reduce((one, other) => one * other);
    labels.forEach((label, number) => {
      const picture = pixels.subarray(number * size, (number + 1) * size);
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const truth = this.facts.classes[label];
      button.setAttribute("aria-label", `Test image ${number + 1}, labelled ${truth}`);
      button.title = `labelled ${truth}`;
      showPixels(button.appendChild(document.createElement("canvas")), picture, this.facts.shape);
      button.addEventListener("click", () => this.classify(picture, `A test image, labelled ${truth}.`));
      at("gallery").append(button);
    });
    at("gallery").firstElementChild?.click();
  }

  listen() {
    at("undo").addEventListener("click", () => this.pad.undo());
    at("clear").addEventListener("click", () => this.pad.clear());
    at("brush").addEventListener("input", () => Object.assign(this.pad, { brush: Number(at("brush").value) }));
    at("file").addEventListener("change", () => this.readFile(at("file").files[0]));
    addEventListener("paste", (event) => this.readFile(event.clipboardData?.files[0]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.readFile(event.dataTransfer?.files[0]);
    });
    at("card-open").addEventListener("click", () => at("card").showModal());
  }

  /** Classify the drawing before the next picture on the screen. */
  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.pad.isBlank) this.refuse("Draw something, or choose a picture.");
      else this.take(this.pad.picture, "Your drawing.");
    });
  }

  async readFile(file) {
    if (!file) return;
    try {
      this.take(await read(file), `Your picture “${file.name}”.`);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      this.refuse(error.message);
    }
    at("file").value = "";
  }

  take(picture, note) {
    try {
      this.classify(prepare(picture, this.facts.shape, this.facts.framing), note);
    } catch (error) {
      if (!(error instanceof BlankError)) throw error;
      this.refuse(error.message);
    }
  }

  refuse(sentence) {
    at("answer").textContent = sentence;
    at("evidence").hidden = true;
    document.body.dataset.label = "";
  }

  classify(pixels, note) {
    const { classes, shape } = this.facts;
    const { confidence, maps, ms } = this.model.predict(pixels);
    const order = confidence.map((_, place) => place).sort((one, other) => confidence[other] - confidence[one]);
    const shown = classes.length > BARS ? order.slice(0, BARS) : classes.map((_, place) => place);
    shown.forEach((label, place) => {
      const row = this.bars[place];
      row.querySelector(".name").textContent = classes[label];
      row.querySelector(".value").textContent = percent(confidence[label]);
      row.querySelector(".fill").style.width = `${100 * confidence[label]}%`;
      row.classList.toggle("top", order.indexOf(label) < 3);
      row.classList.toggle("first", label === order[0]);
    });
    at("answer").textContent = inWords(classes, confidence);
    at("note").textContent = note;
    at("took").textContent = `${ms.toFixed(1)} ms, ${this.model.backend}`;
    showPixels(at("seen"), pixels, shape);
    at("looked").hidden = !maps;
    if (maps) {
      showMap(at("map"), at("seen"), maps, order[0]);
      at("map").setAttribute("aria-label", `The places that spoke for ${classes[order[0]]}, in orange`);
    }
    at("evidence").hidden = false;
    document.body.dataset.label = String(order[0]);
  }
}

async function main() {
  try {
    const facts = JSON.parse(at("facts").textContent);
    const inside = at("wasm")?.textContent;
    const wasm = inside ? URL.createObjectURL(new Blob([bytesOf(inside)], { type: "application/wasm" })) : facts.wasm;
    const model = await Model.load(facts, wasm);
    const page = new Page(facts, model);
    globalThis.osemn = { facts, model, page, prepare }; // for the console
    document.body.dataset.state = "ready";
  } catch (error) {
    at("answer").textContent = `The model in this page does not load (${error.message}). Build the page again: osemn demo`;
    document.body.dataset.state = "failed";
    throw error;
  }
}

main();
