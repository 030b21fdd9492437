// The model in TensorFlow.js: WebAssembly first, the plain JavaScript back end where that is not allowed.

const BINARIES = ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"];

/** Return the bytes of base64 text. */
export function bytesOf(text) {
  return Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
}

export class Model {
  /**
   * Load the model; throws where its file is no model.
   *
   * @param facts of the page: `model` { topology, signature, weightSpecs, weights }, `shape`, `temperature`
   * @param wasm address of the WebAssembly binary
   */
  static async load(facts, wasm) {
    const tf = globalThis.tf;
    const made = new Model();
    made.backend = (await started(tf, wasm)) ? "WebAssembly" : "JavaScript";
    const { topology, signature, weightSpecs, weights } = facts.model;
    made.graph = await tf.loadGraphModel(
      tf.io.fromMemory({ modelTopology: topology, signature, weightSpecs, weightData: bytesOf(weights).buffer }),
    );
    made.outputs = ["probabilities", "class_activation"].map((name) => signature.outputs[name]?.name).filter(Boolean);
    made.facts = facts;
    made.predict(new Uint8Array(facts.shape.reduce((one, other) => one * other))); // the first call is slow
    return made;
  }

  /** Return { probabilities, confidence, maps, ms } of pixels as `framing.prepare` gives them. */
  predict(pixels) {
    const tf = globalThis.tf;
    const begun = performance.now();
    const found = tf.tidy(() => {
      const input = tf.tensor(Float32Array.from(pixels), [1, ...this.facts.shape], "float32");
      const outputs = [this.graph.execute(input, this.outputs)].flat();
      return outputs.map((output) => ({ shape: output.shape, values: output.dataSync() }));
    });
    const ms = performance.now() - begun;
    const probabilities = Array.from(found[0].values);
    return { probabilities, confidence: calibrated(probabilities, this.facts.temperature), maps: found[1] ?? null, ms };
  }
}

/** Start a back end; tell whether it is WebAssembly. */
async function started(tf, wasm) {
  try {
    tf.wasm.setWasmPaths(Object.fromEntries(BINARIES.map((name) => [name, wasm])));
    if (await tf.setBackend("wasm")) return true;
  } catch {
    // not allowed here, or not able: the plain back end does
  }
  await tf.setBackend("cpu");
  return false;
}

/** Probabilities after temperature scaling: those that mean what they say. */
function calibrated(probabilities, temperature) {
  const scaled = probabilities.map((value) => Math.max(value, 1e-12) ** (1 / temperature));
  const total = scaled.reduce((sum, value) => sum + value, 0);
  return scaled.map((value) => value / total);
}
