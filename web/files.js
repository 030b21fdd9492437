// From a dropped, pasted or chosen file to opaque pixels; what cannot be read is refused with a sentence.

import { PictureError } from "./framing.js";

const LIMITS = { bytes: 20 * 2 ** 20, side: 4096 };

/** Return { width, height, data }: RGBA pixels, laid on white; of an animation the first frame. */
export async function read(file) {
  if (file.size > LIMITS.bytes) throw new PictureError(`“${file.name}” is larger than ${LIMITS.bytes / 2 ** 20} MB.`);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new PictureError(`“${file.name}” cannot be read. Is it a folder, or gone?`);
  });
  const size = sizeOf(new DataView(bytes));
  if (!size) throw new PictureError(`“${file.name}” is no PNG, JPEG, WebP or GIF picture.`);
  if (Math.max(...size) > LIMITS.side) {
    throw new PictureError(
      `“${file.name}” has ${size.join(" × ")} pixels; at most ${LIMITS.side} a side are read. Make it smaller.`,
    );
  }
  let image;
  try {
    image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new PictureError(`“${file.name}” is damaged: the picture in it cannot be decoded.`);
  }
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  image.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Width and height from a file's header, before anything is decoded; null where it is no picture. */
function sizeOf(view) {
  const text = (at, count) => String.fromCharCode(...new Uint8Array(view.buffer, at, count));
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

function webp(view, kind) {
  const low = (at, bits) => view.getUint32(at, true) & (2 ** bits - 1);
  if (kind === "VP8X") return [low(24, 24) + 1, low(27, 24) + 1];
  if (kind === "VP8L") return [low(21, 14) + 1, ((view.getUint32(21, true) >> 14) & 0x3fff) + 1];
  return kind === "VP8 " ? [low(26, 14), view.getUint16(28, true) & 0x3fff] : null;
}

function jpeg(view) {
  for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
    while (view.getUint8(at + 1) === 0xff) at++; // bytes that only fill
    const marker = view.getUint8(at + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (view.getUint8(at) !== 0xff) return null;
    if (isFrame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
}
