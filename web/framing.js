// Prepare images for the model: the same bytes as helpers/obtain/images/pictures.py and helpers/obtain/images/framing.py for the same pixels.

const INK = 25; // grey values above this count as ink, of 255 on black
const BITS = 22; // precision of the integers that Pillow computes its filters in
const FILTERS = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at(signed) {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
};

/** An image that cannot be classified; the message is shown to people. */
export class ImageError extends Error {}

/**
 * Return an image as the model takes it: a Uint8Array, [height, width, channels].
 *
 * An image of the model's own size stays unchanged. Any other is framed like the images of the data set; for photographs
 * (`framing` is null), its middle is cut out and resized, or all of it is padded or squashed.
 *
 * @param image { width, height, data }: opaque RGBA pixels
 * @param shape [height, width, channels] of the model
 * @param framing { box, centre }, or null
 * @param fit "crop", "pad" or "squash"
 */
export function prepare(image, [height, width, channels], framing, fit = "crop") {
  const colours = withoutAlpha(image);
  if (image.width === width && image.height === height) return channels === 1 ? grey(colours) : colours;
  if (framing) return frame(grey(colours), image.width, image.height, framing, height);
  const box = fit === "crop" ? middle(image, width / height) : [0, 0, image.width, image.height];
  const resized = () => resize(colours, image.width, image.height, 3, box, width, height, "bicubic");
  const fitted = fit === "pad" ? pad(colours, image, width, height) : resized();
  return channels === 1 ? grey(fitted) : fitted;
}

function withoutAlpha({ data }) {
  const colours = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    colours[to] = data[from];
    colours[to + 1] = data[from + 1];
    colours[to + 2] = data[from + 2];
  }
  return colours;
}

/** Return luma (ITU-R BT.601). */
function grey(colours) {
  const luma = new Uint8Array(colours.length / 3);
  for (let at = 0; at < luma.length; at++) {
    const [red, green, blue] = [colours[3 * at], colours[3 * at + 1], colours[3 * at + 2]];
    luma[at] = Math.floor((299 * red + 587 * green + 114 * blue + 500) / 1000);
  }
  return luma;
}

/** Return the drawing light on black, cut to its ink, scaled and centred in a square of `side` pixels. */
function frame(pixels, width, height, framing, side) {
  const light = onBlack(pixels, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (light[y * width + x] <= INK) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), y];
    }
  }
  if (bottom < 0) throw new ImageError("The image is empty: it shows only its background.");
  const [wide, high] = [right - left + 1, bottom - top + 1];
  const [w, h] = [wide, high].map((length) => Math.max(1, divided(length * framing.box, Math.max(wide, high))));
  const scaled = resize(light, width, height, 1, [left, top, right + 1, bottom + 1], w, h, "bilinear");
  const [across, down] = place(scaled, w, h, framing, side);
  const square = new Uint8Array(side * side);
  for (let y = 0; y < h; y++) square.set(scaled.subarray(y * w, (y + 1) * w), (down + y) * side + across);
  return square;
}

/** Return the image light on black. The median of the edge counts as background and becomes black. */
function onBlack(pixels, width, height) {
  const median = edgeMedian(pixels, width, height);
  const [turned, background] = median > 127 ? [255, 255 - median] : [0, median];
  return pixels.map((value) => divided(Math.max(Math.abs(turned - value) - background, 0) * 255, 255 - background));
}

/** Return the column and row of the square at which a scaled image begins. */
function place(scaled, width, height, framing, side) {
  if (framing.centre === "box") return [Math.floor((side - width) / 2), Math.floor((side - height) / 2)];
  let [total, acrossMoment, downMoment] = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = scaled[y * width + x];
      total += value;
      acrossMoment += value * x;
      downMoment += value * y;
    }
  }
  const start = (moment, length) => {
    const middle = Math.floor((side * total - 2 * moment + total) / (2 * total));
    return Math.min(Math.max(middle, 0), side - length);
  };
  return [start(acrossMoment, width), start(downMoment, height)];
}

/** Divide an integer and round, halves upward. */
function divided(value, by) {
  return Math.floor((2 * value + by) / (2 * by));
}

/** Return all of an image, resized into a rectangle that is filled with the median colour of the image's edge. */
function pad(colours, image, width, height) {
  const isWide = image.width * height >= image.height * width;
  const w = isWide ? width : Math.max(1, divided(image.width * height, image.height));
  const h = isWide ? Math.max(1, divided(image.height * width, image.width)) : height;
  const all = [0, 0, image.width, image.height];
  const scaled = resize(colours, image.width, image.height, 3, all, w, h, "bicubic");
  const colour = [0, 1, 2].map((channel) => edgeMedian(colours, image.width, image.height, 3, channel));
  const padded = Uint8Array.from({ length: 3 * width * height }, (_, place) => colour[place % 3]);
  const [left, top] = [Math.floor((width - w) / 2), Math.floor((height - h) / 2)];
  for (let y = 0; y < h; y++) padded.set(scaled.subarray(3 * y * w, 3 * (y + 1) * w), 3 * ((top + y) * width + left));
  return padded;
}

/** Return the median of one channel of an image's outermost pixels, the higher of the two in the middle. */
function edgeMedian(pixels, width, height, channels = 1, channel = 0) {
  const edge = [];
  const add = (x, y) => edge.push(pixels[(y * width + x) * channels + channel]);
  for (let x = 0; x < width; x++) for (const y of [0, height - 1]) add(x, y);
  for (let y = 1; y < height - 1; y++) for (const x of [0, width - 1]) add(x, y);
  edge.sort((one, other) => one - other);
  return edge[edge.length >> 1];
}

/** Return the largest centred box with a ratio of width to height: its left, top, right and bottom. */
function middle({ width, height }, ratio) {
  const [w, h] = width / height >= ratio ? [ratio * height, height] : [width, width / ratio];
  const [left, top] = [(width - w) / 2, (height - h) / 2];
  return [left, top, left + w, top + h];
}

/** Resize a box of an image as Pillow does: horizontally, rounded to bytes, then vertically. */
function resize(pixels, width, height, channels, [left, top, right, bottom], toWidth, toHeight, filter) {
  const row = toWidth * channels;
  const narrow = new Uint8Array(row * height);
  weights(width, left, right, toWidth, filter).forEach(({ start, factors }, x) => {
    for (let y = 0; y < height; y++) {
      for (let channel = 0; channel < channels; channel++) {
        const from = (y * width + start) * channels + channel;
        narrow[y * row + x * channels + channel] = summed(pixels, from, channels, factors);
      }
    }
  });
  const resized = new Uint8Array(row * toHeight);
  weights(height, top, bottom, toHeight, filter).forEach(({ start, factors }, y) => {
    for (let x = 0; x < row; x++) resized[y * row + x] = summed(narrow, start * row + x, row, factors);
  });
  return resized;
}

function summed(pixels, from, step, factors) {
  let sum = 1 << (BITS - 1);
  for (let at = 0; at < factors.length; at++) sum += pixels[from + at * step] * factors[at];
  return Math.min(Math.max(sum >> BITS, 0), 255);
}

/** Return, for each pixel of the result, its first source pixel and the factors of all, in units of 2 to the power of -BITS. */
function weights(size, begin, to, count, name) {
  const filter = FILTERS[name];
  const from = Math.fround(begin); // Pillow stores boxes in single precision
  const scale = Math.fround(Math.fround(to) - from) / count;
  const spread = Math.max(scale, 1);
  return Array.from({ length: count }, (_, place) => {
    const centre = from + (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - filter.support * spread + 0.5));
    const end = Math.min(size, Math.trunc(centre + filter.support * spread + 0.5));
    const raw = Array.from({ length: end - start }, (__, at) => filter.at((at + start - centre + 0.5) * (1 / spread)));
    const total = raw.reduce((sum, factor) => sum + factor, 0);
    const factors = raw.map((factor) => (factor / total) * 2 ** BITS);
    return { start, factors: factors.map((factor) => Math.trunc(factor < 0 ? factor - 0.5 : factor + 0.5)) };
  });
}
