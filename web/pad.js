// A drawing pad for mouse, finger and pen: light strokes on black, which can be taken back one by one.

export class Pad {
  /** Draw on a canvas; `changed` is called after every piece of a stroke. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.brush = 20;
    this.strokes = [];
    this.drawing = null;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.goOn(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.end());
    this.paint();
  }

  get isBlank() {
    return this.strokes.length === 0;
  }

  /** RGBA pixels, as `framing.prepare` takes them. */
  get picture() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  begin(event) {
    if (event.button !== 0 || this.drawing) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = { brush: this.brush, points: [this.pointOf(event)] };
    this.strokes.push(this.drawing);
    this.update();
  }

  goOn(event) {
    if (!this.drawing) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) this.drawing.points.push(this.pointOf(each));
    this.update();
  }

  end() {
    this.drawing = null;
  }

  undo() {
    this.strokes.pop();
    this.update();
  }

  clear() {
    this.strokes = [];
    this.update();
  }

  update() {
    this.paint();
    this.changed();
  }

  pointOf(event) {
    const shown = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - shown.left) * this.canvas.width) / shown.width,
      ((event.clientY - shown.top) * this.canvas.height) / shown.height,
    ];
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
      for (const point of points.length > 1 ? points : [points[0], points[0]]) context.lineTo(...point);
      context.stroke();
    }
  }
}
