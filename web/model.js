// Run the model in TensorFlow.js: with WebAssembly or, if that is not allowed, with the plain JavaScript back end.

const BINARIES = ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"];

/** Return the bytes of base64 text. */
export function bytesOf(text) {
  return Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
}

export class Model {
  /** Load the model of the page's facts; `wasm` is the address of the WebAssembly binary. Throws an error if it is not a model. */
  static async load(facts, wasm) {
    const tf = globalThis.tf;
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false); // the binary has one thread
    tf.wasm.setWasmPaths(Object.fromEntries(BINARIES.map((name) => [name, wasm])));
    const made = Object.assign(new Model(), { facts });
    const blank = new Uint8Array(facts.shape.reduce((one, other) => one * other));
    const { topology, signature, weightSpecs, weights } = facts.model;
    const source = { modelTopology: topology, signature, weightSpecs, weightData: bytesOf(weights).buffer };
    made.outputs = ["probabilities", "class_activation"].map((name) => signature.outputs[name]?.name).filter(Boolean);
    for (const [backend, name] of Object.entries({ wasm: "WebAssembly", cpu: "JavaScript" })) {
      try {
        if (!(await tf.setBackend(backend))) continue;
        made.graph = await tf.loadGraphModel(tf.io.fromMemory(source));
        made.predict(blank); // the first call is slow
        return Object.assign(made, { backend: name });
      } catch (error) {
        if (backend === "cpu") throw error; // WebAssembly is forbidden or unsupported here; try the next
      }
    }
    throw new Error("no back end starts");
  }

  /** Return { probabilities, confidence, maps, ms } for pixels from `framing.prepare`. */
  predict(pixels) {
    const tf = globalThis.tf;
    const begun = performance.now();
    const results = tf.tidy(() => {
      const input = tf.tensor(Float32Array.from(pixels), [1, ...this.facts.shape], "float32");
      const outputs = [this.graph.execute(input, this.outputs)].flat();
      return outputs.map((output) => ({ shape: output.shape, values: output.dataSync() }));
    });
    const ms = performance.now() - begun;
    const probabilities = Array.from(results[0].values);
    return { probabilities, confidence: calibrated(probabilities, this.facts), maps: results[1] ?? null, ms };
  }
}

/** Return scaled probabilities, which match how often the model is correct. */
function calibrated(probabilities, { temperature, exponent }) {
  const distances = probabilities.map((value) => Math.max(-Math.log(Math.max(value, 1e-12)), 0));
  const scaled = distances.map((distance) => Math.exp(-(distance ** exponent) / temperature));
  const total = scaled.reduce((sum, value) => sum + value, 0);
  return scaled.map((value) => value / total);
}
