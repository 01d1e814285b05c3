// Many points on a canvas, set pixel by pixel: 100,000 of them follow the hand without a GPU, where
// WebGL would be drawn by the processor and takes ten times as long. Knows nothing of cases.

// How far (x, y) lies outside of a shape, both from -1 to 1, y downwards. Triangles, discs and
// diamonds, as the marks beside a diagnosis: not by colour alone. Of one area: none shall weigh more.
const SHAPES = [
  (x, y) => Math.abs(x) - (y + 1) / 2,
  (x, y) => Math.hypot(x, y) - 0.82,
  (x, y) => Math.abs(x) + Math.abs(y) - 1,
];
const LEAST_SHAPE = 6; // pixels; smaller points are all discs, as nobody could tell
const MOST_ZOOM = 400;

export class Plane {
  /** `points` x, y, x, y … (y upwards), `kinds` 0, 1 or 2 a point; `ondraw` is called after each frame. */
  constructor(canvas, { points, kinds, ondraw }) {
    this.canvas = canvas;
    this.points = points;
    this.kinds = kinds;
    this.ondraw = ondraw;
    this.inks = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
    this.box = boxOf(points);
    this.zoom = 1;
    this.centre = [(this.box[0] + this.box[2]) / 2, (this.box[1] + this.box[3]) / 2];
    this.cells = new Cells(points, this.box);
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** CSS pixels a unit of the map. */
  get unit() {
    const [x0, y0, x1, y1] = this.box;
    const { clientWidth, clientHeight } = this.canvas;
    return 0.92 * Math.min(clientWidth / (x1 - x0), clientHeight / (y1 - y0)) * this.zoom;
  }

  /** The diameter of a point in CSS pixels: larger where there are few, or few are seen. */
  get size() {
    const seen = this.kinds.length / this.zoom ** 2;
    return Math.min(12, Math.max(4, 220 / Math.sqrt(seen + 1)));
  }

  toScreen([x, y]) {
    const { clientWidth, clientHeight } = this.canvas;
    return [clientWidth / 2 + (x - this.centre[0]) * this.unit, clientHeight / 2 - (y - this.centre[1]) * this.unit];
  }

  toMap([left, top]) {
    const { clientWidth, clientHeight } = this.canvas;
    return [this.centre[0] + (left - clientWidth / 2) / this.unit, this.centre[1] - (top - clientHeight / 2) / this.unit];
  }

  moveBy(left, top) {
    this.look([this.centre[0] - left / this.unit, this.centre[1] + top / this.unit]);
  }

  /** Zoom by a factor; what lies at `at` (CSS pixels) stays there. */
  zoomBy(factor, at = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const before = this.toMap(at);
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    const after = this.toMap(at);
    this.look([this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]]);
  }

  /** Put a place in the middle; the middle never leaves the map. */
  look([x, y], zoom = this.zoom) {
    const [x0, y0, x1, y1] = this.box;
    this.zoom = zoom;
    this.centre = [Math.min(x1, Math.max(x0, x)), Math.min(y1, Math.max(y0, y))];
    this.redraw();
  }

  /** The number of the nearest point within `reach` CSS pixels; -1: none. */
  nearest(at, reach) {
    return this.cells.nearest(this.toMap(at), reach / this.unit);
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.fit();
      this.paint();
      this.ondraw();
    });
  }

  /** Give the canvas as many pixels as it has on the screen. */
  fit() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((each) => Math.max(1, Math.round(each * devicePixelRatio)));
    if (this.image?.width === width && this.image.height === height) return;
    Object.assign(canvas, { width, height });
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  paint() {
    const { points, kinds, centre, pixels } = this;
    const { width, height } = this.image;
    const side = Math.max(2, Math.round(this.size * devicePixelRatio));
    const shapes = side < LEAST_SHAPE ? SHAPES.map(() => SHAPES[1]) : SHAPES;
    const stamps = shapes.map((outside) => stamp(outside, { side, width }));
    const inks = this.inks.map(([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);
    const step = this.unit * devicePixelRatio;
    pixels.fill(0);
    for (let at = 0; at < kinds.length; at += 1) {
      const left = Math.round((width - side) / 2 + (points[2 * at] - centre[0]) * step);
      const top = Math.round((height - side) / 2 - (points[2 * at + 1] - centre[1]) * step);
      if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
      const first = top * width + left;
      const ink = inks[kinds[at]];
      for (const offset of stamps[kinds[at]]) pixels[first + offset] = ink;
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let at = 0; at < points.length; at += 2) {
    box[0] = Math.min(box[0], points[at]);
    box[1] = Math.min(box[1], points[at + 1]);
    box[2] = Math.max(box[2], points[at]);
    box[3] = Math.max(box[3], points[at + 1]);
  }
  return box[0] < box[2] && box[1] < box[3] ? box : [box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1];
}

/** Points by square cells, so that the nearest is found without looking at all. */
class Cells {
  constructor(points, box) {
    this.points = points;
    this.box = box;
    this.side = Math.max(box[2] - box[0], box[3] - box[1]) / Math.max(1, Math.sqrt(points.length / 8));
    this.cells = new Map();
    for (let at = 0; at < points.length; at += 2) {
      const key = this.key(...this.cell(points[at], points[at + 1]));
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(at / 2);
    }
  }

  cell(x, y) {
    return [Math.floor((x - this.box[0]) / this.side), Math.floor((y - this.box[1]) / this.side)];
  }

  key(column, row) {
    return column * 65536 + row;
  }

  nearest([x, y], reach) {
    const [left, bottom] = this.cell(x - reach, y - reach);
    const [right, top] = this.cell(x + reach, y + reach);
    let found = -1;
    let least = reach * reach;
    for (let column = Math.max(0, left); column <= right; column += 1) {
      for (let row = Math.max(0, bottom); row <= top; row += 1) {
        for (const each of this.cells.get(this.key(column, row)) ?? []) {
          const far = (this.points[2 * each] - x) ** 2 + (this.points[2 * each + 1] - y) ** 2;
          if (far <= least) [found, least] = [each, far];
        }
      }
    }
    return found;
  }
}

/** Where the pixels of a shape lie behind its first. */
function stamp(outside, { side, width }) {
  const offsets = [];
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) {
      const [x, y] = [column, row].map((each) => (2 * each + 1) / side - 1);
      if (outside(x, y) < 0) offsets.push(row * width + column);
    }
  }
  return Uint32Array.from(offsets);
}
