// Prepares pictures with web/framing.js: `node framing_run.mjs framing.js pictures.bin jobs.json prepared.bin`.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [script, pictures, jobs, prepared] = process.argv.slice(2);
const { ImageError, prepare } = await import(pathToFileURL(script));
const bytes = readFileSync(pictures);
const found = JSON.parse(readFileSync(jobs, "utf8")).map(({ start, width, height, shape, framing, fit }) => {
  const data = bytes.subarray(start, start + 4 * width * height);
  try {
    return Buffer.from(prepare({ width, height, data }, shape, framing, fit));
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return Buffer.alloc(shape[0] * shape[1] * shape[2], 1); // no framed picture is all ones
  }
});
writeFileSync(prepared, Buffer.concat(found));
