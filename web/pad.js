// A drawing pad for mouse, finger and pen: light strokes on black, which can be undone one by one.

export class Pad {
  /** Draw on a canvas with the brush size of a slider; `changed` is called after every part of a stroke and at its end. */
  constructor(canvas, slider, changed) {
    Object.assign(this, { canvas, slider, changed, strokes: [], pointer: null });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.goOn(event));
    for (const name of ["pointerup", "lostpointercapture"]) canvas.addEventListener(name, (event) => this.end(event));
    this.paint();
  }

  /** RGBA pixels, as `prepare` takes them. */
  get image() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  begin(event) {
    if (event.button !== 0 || this.pointer !== null) return; // another finger is drawing
    event.preventDefault();
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(this.pointer);
    this.keep([...this.strokes, { brush: Number(this.slider.value), points: [this.pointOf(event)] }]);
  }

  goOn(event) {
    if (event.pointerId !== this.pointer) return;
    const between = event.getCoalescedEvents?.() ?? [];
    const points = (between.length ? between : [event]).map((each) => this.pointOf(each));
    this.strokes.at(-1)?.points.push(...points);
    this.keep(this.strokes);
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.changed();
  }

  /** Draw these strokes and no others. */
  keep(strokes) {
    this.strokes = strokes;
    this.paint();
    this.changed();
  }

  pointOf(event) {
    const shown = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / shown.width;
    return [(event.clientX - shown.left) * scale, (event.clientY - shown.top) * scale];
  }

  paint() {
    const { context, canvas } = this;
    context.fillStyle = "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(context, { strokeStyle: "white", lineCap: "round", lineJoin: "round" });
    for (const { brush, points } of this.strokes) {
      context.lineWidth = brush;
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
  }
}
