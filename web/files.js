// Read an image file into opaque pixels; a file that cannot be read gives an error message for people.

import { ImageError } from "./framing.js";

const LIMITS = { bytes: 20 * 2 ** 20, side: 4096 };
/** How files begin that the service and the command line read, and browsers do not, or not to the same bytes: place, letters, name. */
const OTHERS = [
  [4, "ftyp", "an AVIF or HEIC"],
  [4, "jP  ", "a JPEG 2000"],
  [0, "\xff\x4f\xff\x51", "a JPEG 2000"],
  [0, "II*\0", "a TIFF"],
  [0, "MM\0*", "a TIFF"],
  [128, "DICM", "a DICOM"],
  [0, "BM", "a BMP"],
  ...[..."123456"].map((kind) => [0, `P${kind}`, "a PNM"]),
];
const ORIENTATION = 0x0112; // EXIF's tag

/** Letters that are written from right to left, and characters that change the direction of text. */
const TURNING = /[\u0590-\u08ff\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff\ud802\ud803\ud83a\ud83b]/;

const ELSEWHERE = "The command line and the service can: osemn predict FILE.";

/** The canvas transformation that draws an image of width w and height h upright, by the value of that tag. */
const TURNS = {
  1: () => [1, 0, 0, 1, 0, 0],
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (_, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (_, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

/** Return the name of a class or file so that it cannot reorder the text around it (Unicode Standard Annex 9). */
export function isolated(name) {
  return TURNING.test(name) ? `\u2068${name.replace(/[\u2066-\u2069]/g, "")}\u2069` : name;
}

/** Return { width, height, data }: RGBA pixels on a white background; of an animation, the first frame. */
export async function read(file) {
  const name = isolated(file.name);
  if (file.size > LIMITS.bytes) throw new ImageError(`“${name}” is larger than ${LIMITS.bytes / 2 ** 20} MB.`);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new ImageError(`“${name}” cannot be read. Is it a folder, or was it removed?`);
  });
  const size = sizeOf(new DataView(bytes));
  if (!size) throw new ImageError(`“${name}” ${refusal(new DataView(bytes))}`);
  if (Math.max(...size) > LIMITS.side) {
    throw new ImageError(
      `“${name}” has ${size.join(" × ")} pixels; each side may have at most ${LIMITS.side}. Make it smaller.`,
    );
  }
  if (isDeepGrey(new DataView(bytes))) {
    throw new ImageError(`“${name}” has 16 bits of grey, of which browsers decode 8. ${ELSEWHERE}`);
  }
  const turn = takeTurn(new DataView(bytes));
  let image;
  try {
    image = await createImageBitmap(turn === 1 ? file : new Blob([bytes]), { colorSpaceConversion: "none" });
  } catch {
    throw new ImageError(`“${name}” is damaged: its image cannot be decoded.`);
  }
  const [width, height] = turn > 4 ? [image.height, image.width] : [image.width, image.height];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false; // rotation leaves pixel values unchanged
  context.setTransform(...TURNS[turn](image.width, image.height));
  context.drawImage(image, 0, 0);
  image.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Return width and height from a file's header, before anything is decoded; null if it is not an image. */
function sizeOf(view) {
  const text = (at, count) => letters(view, at, count);
  try {
    if (text(0, 4) === "\x89PNG") return [view.getUint32(16), view.getUint32(20)];
    if (text(0, 4) === "GIF8") return [view.getUint16(6, true), view.getUint16(8, true)];
    if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") return webp(view, text(12, 4));
    if (view.getUint16(0) === 0xffd8) return jpeg(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends within its header
  }
  return null;
}

/** Return why a file that is not an image for browsers is refused. */
function refusal(view) {
  const found = OTHERS.find(([at, text]) => view.byteLength >= at + text.length && letters(view, at, text.length) === text);
  if (!found) return "is not a PNG, JPEG, WebP or GIF image.";
  return `is ${found[2]} image, which this page cannot decode. ${ELSEWHERE}`;
}

/** Return whether a PNG has grey pixels of 16 bits, by the depth and the colour type in its header. */
function isDeepGrey(view) {
  return letters(view, 0, 4) === "\x89PNG" && view.byteLength > 25 && view.getUint8(24) === 16 && view.getUint8(25) === 0;
}

function webp(view, kind) {
  const low = (at, bits) => view.getUint32(at, true) & (2 ** bits - 1);
  if (kind === "VP8X") return [low(24, 24) + 1, low(27, 24) + 1];
  if (kind === "VP8L") return [low(21, 14) + 1, ((view.getUint32(21, true) >> 14) & 0x3fff) + 1];
  return kind === "VP8 " ? [low(26, 14), view.getUint16(28, true) & 0x3fff] : null;
}

/**
 * Return the orientation of a WebP image, from 1 to 8, and set it to 1 in its bytes; 1 for every other file.
 *
 * Browsers rotate JPEG and PNG images by themselves, but only some rotate WebP; without the tag none does.
 */
function takeTurn(view) {
  try {
    const place = orientationOfWebp(view);
    if (!place) return 1;
    const turn = view.getUint16(place.at, place.little);
    view.setUint16(place.at, 1, place.little);
    return TURNS[turn] ? turn : 1;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends within its EXIF data
    return 1;
  }
}

/** Return where the orientation of a WebP image is stored, and in which byte order; null if it has none. */
function orientationOfWebp(view) {
  const isExtended = letters(view, 0, 4) === "RIFF" && letters(view, 8, 8) === "WEBPVP8X";
  if (!isExtended || !(view.getUint8(20) & 8)) return null; // the flag for EXIF data
  let at = 12;
  while (letters(view, at, 4) !== "EXIF") at += 8 + 2 * Math.ceil(view.getUint32(at + 4, true) / 2);
  const start = at + 8 + (letters(view, at + 8, 4) === "Exif" ? 6 : 0); // some programs write a JPEG header before it
  const little = letters(view, start, 2) === "II";
  const entries = start + view.getUint32(start + 4, little);
  for (let entry = entries + 2; entry < entries + 2 + 12 * view.getUint16(entries, little); entry += 12) {
    if (view.getUint16(entry, little) === ORIENTATION) return { at: entry + 8, little };
  }
  return null;
}

function letters(view, at, count) {
  return String.fromCharCode(...new Uint8Array(view.buffer, at, count));
}

function jpeg(view) {
  for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
    while (view.getUint8(at + 1) === 0xff) at++; // padding
    const marker = view.getUint8(at + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (view.getUint8(at) !== 0xff) return null;
    if (isFrame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
}
