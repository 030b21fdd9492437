// Score an exported TensorFlow.js model on the data set's raw files, with the scripts that a browser would load and
// without access to Node's globals:
//
//     node score.js RUNTIME_FOLDER MODEL_FOLDER t10k-images-idx3-ubyte scored.bin
//
// The probabilities, float32 [N, K] in little-endian order, are written to a file. The time of the first prediction
// (seconds since the epoch) and K are printed as JSON, then the latency. With the word "wait" at the end, the program waits
// for a line of input between the two. It runs on WebAssembly with one thread.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [runtime, folder, imagesFile, scored, wait] = process.argv.slice(2);
const CHUNK = 50; // images of 64 px per call, fewer larger ones: few enough for the memory of WebAssembly
const LATENCY_BATCHES = { 1: 100, 64: 10 }; // images per call: timed calls, enough for a steady median
// a photograph takes a hundred times as long as a small image, and its median is as steady after fewer calls
const LATENCY_MILLISECONDS = 1500;
const FEWEST_CALLS = 3;

function openIdx(file) {
  const descriptor = fs.openSync(file, "r");
  const head = Buffer.alloc(20);
  fs.readSync(descriptor, head, 0, head.length, 0);
  const shape = [];
  for (let place = 0; place < head[3]; place++) shape.push(head.readUInt32BE(4 + 4 * place));
  if (head.readUIntBE(0, 3) !== 8 || ![3, 4].includes(shape.length)) throw new Error("this is not an IDX file of images");
  const start = 4 + 4 * shape.length;
  if (shape.length === 3) shape.push(1);
  const size = shape[1] * shape[2] * shape[3];
  const slice = (first, count) => {
    const pixels = Buffer.alloc(count * size);
    fs.readSync(descriptor, pixels, 0, pixels.length, start + first * size);
    return Float32Array.from(pixels);
  };
  return { shape, size, slice };
}

function browserLike() {
  const page = {
    console, performance, WebAssembly, fetch, Response, TextDecoder, TextEncoder, setTimeout, clearTimeout, URL, btoa, atob,
    ArrayBuffer, Float32Array, Int32Array, Uint8Array, // so that both sides use the same types
    document: { currentScript: { src: "" } }, navigator: { userAgent: "" },
  };
  page.window = page.self = page;
  vm.createContext(page);
  for (const name of ["tf-core", "tf-converter", "tf-backend-cpu", "tf-backend-wasm"]) {
    const file = path.join(runtime, `${name}.es2017.min.js`);
    vm.runInContext(fs.readFileSync(file, "utf8"), page, { filename: file });
  }
  const binary = fs.readFileSync(path.join(runtime, "tfjs-backend-wasm-simd.wasm")).toString("base64");
  const address = `data:application/wasm;base64,${binary}`;
  const names = ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"];
  page.tf.wasm.setWasmPaths(Object.fromEntries(names.map((name) => [name, address])));
  return page.tf;
}

async function load(tf) {
  const model = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const [group] = model.weightsManifest;
  const weights = Buffer.concat(group.paths.map((name) => fs.readFileSync(path.join(folder, name))));
  return tf.loadGraphModel(
    tf.io.fromMemory({
      modelTopology: model.modelTopology,
      format: model.format,
      signature: model.signature,
      weightSpecs: group.weights,
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
    }),
  );
}

async function readLine() {
  for await (const part of process.stdin) return part.length > 0;
  return false;
}

async function main() {
  const { shape, size, slice } = openIdx(imagesFile);
  const tf = browserLike();
  if (!(await tf.setBackend("wasm"))) throw new Error("the WebAssembly back end does not start");
  const model = await load(tf);
  const wanted = model.modelSignature.outputs.probabilities.name;
  const predict = async (pixelValues, count) => {
    const output = tf.tidy(() => model.execute(tf.tensor(pixelValues, [count, ...shape.slice(1)], "float32"), wanted));
    const values = await output.data();
    output.dispose();
    return values;
  };
  const classes = (await predict(slice(0, 1), 1)).length;
  const first = Date.now() / 1000;
  const probabilities = new Float32Array(shape[0] * classes);
  const step = Math.max(1, Math.min(CHUNK, Math.floor((CHUNK * 64 ** 2) / (shape[1] * shape[2]))));
  for (let start = 0; start < shape[0]; start += step) {
    const count = Math.min(step, shape[0] - start);
    probabilities.set(await predict(slice(start, count), count), start * classes);
  }
  fs.writeFileSync(scored, Buffer.from(probabilities.buffer));
  console.log(JSON.stringify({ first, classes }));
  if (wait && !(await readLine())) return; // nobody asks any more if the input has ended
  const latency = {};
  for (const [batch, calls] of Object.entries(LATENCY_BATCHES)) {
    const count = Number(batch);
    const values = new Float32Array(count * size);
    for (let place = 0; place < count; place++) values.set(slice(place % shape[0], 1), place * size);
    const times = [];
    let warmUp = Math.floor(calls / 10);
    for (let spent = 0; times.length < calls + warmUp; spent += times.at(-1)) {
      if (spent > LATENCY_MILLISECONDS && times.length >= FEWEST_CALLS) {
        warmUp = 1; // slow calls are steady from the second one on
        break;
      }
      const started = performance.now();
      await predict(values, count);
      times.push(performance.now() - started);
    }
    const timed = times.slice(warmUp).sort((one, other) => one - other);
    latency[batch] = timed[Math.floor(timed.length / 2)];
  }
  console.log(JSON.stringify({ latency_ms: latency }));
}

main().catch((error) => {
  console.error(error.message || error);
  process.exit(1);
});
