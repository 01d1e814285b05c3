// Two views side by side at one scale, zoomed and moved together, and what makes them near.
import { ask, caseOf } from "./api.js";
import { h } from "./dom.js";
import { classMark, diagnosisOf, recordRows } from "./words.js";

const MOST = 12;
// Orange makes near, blue pulls apart: all readers tell these two apart. Classes have other colours.
const NEAR = [255, 122, 0];
const APART = [20, 110, 255];

export class Comparison {
  /** `query` gives the form of what is asked about. */
  constructor(dialog, { query }) {
    this.dialog = dialog;
    this.query = query;
    this.asking = null;
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("close", () => this.asking?.abort());
  }

  async open(hit) {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.held = new Map();
    const title = h("h2", { id: "compare-title" }, `Case ${hit.rank}: ${diagnosisOf(hit)}`);
    const close = h("button", { type: "button", class: "second", id: "close-compare", onclick: () => this.dialog.close() }, "Close");
    const wait = h("p", { role: "status" }, "Comparing …");
    this.dialog.replaceChildren(h("header", {}, title, close), wait);
    this.dialog.showModal();
    const form = this.query();
    form.set("with", hit.isic_id);
    this.asking?.abort();
    this.asking = new AbortController();
    try {
      const comparison = await ask("/compare", { method: "POST", body: form, signal: this.asking.signal });
      wait.replaceWith(...this.parts(hit, comparison));
      this.paint();
      this.place();
    } catch (error) {
      if (error.name === "AbortError") return; // another case is looked at by now, or none
      wait.replaceWith(h("p", { class: "notice bad", role: "alert" }, error.message));
    }
  }

  parts(hit, comparison) {
    const { distance, query, case: found } = comparison;
    this.sides = [query, found].map((side) => this.pane(side));
    const strongest = Math.max(...[query, found].flatMap((side) => (side.regions ?? []).flat().map(Math.abs)), 1e-9);
    this.sides.forEach((side) => { side.strongest = strongest; });
    const hasRegions = this.sides.every((side) => side.regions);
    return [
      h("p", { class: "sum" }, classMark(hit.diagnosis_1), ` · similarity ${similarityOf(comparison)}, distance ${distance.toFixed(3)} from the picture`),
      h("div", { class: "beside" },
        h("div", {},
          h("div", { class: "panes" },
            this.figure(this.sides[0], "The picture asked about"),
            this.figure(this.sides[1], hit.isic_id)),
          this.tools(hasRegions),
          hasRegions ? null : h("p", { class: "small" }, "This encoder does not say which regions make pictures near.")),
        h("div", {},
          h("h3", {}, "Record"),
          h("dl", { class: "record" }, ...recordRows(hit)),
          h("p", { class: "row" }, h("a", { href: caseOf(hit.isic_id), target: "_blank" }, "Open this case"), hit.notice ? h("span", { class: "drawn" }, hit.notice) : null))),
    ];
  }

  pane({ view, regions }) {
    const image = h("img", { src: `data:image/jpeg;base64,${view.jpeg}`, alt: "", draggable: "false" });
    const canvas = h("canvas", { "aria-hidden": "true" });
    return { stage: h("div", { class: "stage" }, image, canvas), image, canvas, regions, view };
  }

  figure(side, caption) {
    const pane = h("div", { class: "pane", tabindex: 0, role: "group", "aria-label": `${caption}: arrow keys move, plus and minus zoom, 0 shows all` }, side.stage);
    pane.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    pane.addEventListener("pointerdown", (event) => this.hold(event));
    pane.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"]) pane.addEventListener(kind, (event) => this.release(event));
    side.pane = pane;
    return h("figure", {}, pane, h("figcaption", {}, caption));
  }

  tools(hasRegions) {
    const zoom = (text, label, action) => h("button", { type: "button", class: "second", "aria-label": label, onclick: action }, text);
    const key = h("canvas", { width: 65, height: 1, "aria-hidden": "true" });
    ramp(key);
    return h("div", { class: "tools" },
      h("div", { class: "row" },
        zoom("+", "Zoom in", () => this.zoom(1.4)),
        zoom("−", "Zoom out", () => this.zoom(1 / 1.4)),
        zoom("Whole", "Show all", () => this.reset())),
      hasRegions ? h("label", {}, "Heat map", h("input", {
        type: "range", id: "heat", min: 0, max: 100, value: 50,
        oninput: (event) => this.fade(event.target.value / 100),
      })) : null,
      hasRegions ? h("div", { class: "heat-key" }, "pulls apart", key, "makes near") : null);
  }

  /** Paint what each region adds; the browser smooths between the regions' middles. */
  paint() {
    for (const { canvas, regions, strongest, view } of this.sides) {
      if (!regions) continue;
      const [rows, columns] = [regions.length, regions[0].length];
      const small = h("canvas", { width: columns, height: rows });
      const pixels = new ImageData(columns, rows);
      regions.flat().forEach((value, at) => pixels.data.set(colour(value / strongest), 4 * at));
      small.getContext("2d").putImageData(pixels, 0, 0);
      canvas.width = view.width;
      canvas.height = view.height;
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(small, 0, 0, view.width, view.height);
    }
    this.fade(0.5);
  }

  /** The stronger the heat map, the less the pictures' own colours. */
  fade(opacity) {
    for (const { canvas, image, regions } of this.sides) {
      if (!regions) continue;
      canvas.style.opacity = opacity;
      image.style.filter = `grayscale(${Math.min(1.5 * opacity, 1)})`;
    }
  }

  /** Zoom about a place of the pane, given as shares of its width and height. */
  zoom(by, [u, v] = [0.5, 0.5]) {
    const scale = Math.min(Math.max(this.scale * by, 1), MOST);
    this.x = u - ((u - this.x) * scale) / this.scale;
    this.y = v - ((v - this.y) * scale) / this.scale;
    this.scale = scale;
    this.place();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.place();
  }

  reset() {
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.place();
  }

  place() {
    const held = (value) => Math.min(Math.max(value, 1 - this.scale), 0);
    [this.x, this.y] = [held(this.x), held(this.y)];
    for (const { stage } of this.sides) {
      stage.style.transform = `translate(${100 * this.x}%, ${100 * this.y}%) scale(${this.scale})`;
    }
  }

  key(event) {
    if (!event.target.closest?.(".pane")) return;
    const step = 0.08;
    const actions = {
      ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0),
      ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step),
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.reset(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), shareOf(event));
  }

  hold(event) {
    event.currentTarget.setPointerCapture(event.pointerId);
    event.currentTarget.classList.add("holding");
    this.held.set(event.pointerId, shareOf(event));
  }

  /** One pointer moves; two move and zoom. */
  drag(event) {
    const before = this.held.get(event.pointerId);
    if (!before) return;
    const now = shareOf(event);
    const other = [...this.held].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = ([u, v]) => Math.hypot(u - other[0], v - other[1]) || 1e-6;
      this.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else {
      this.move(now[0] - before[0], now[1] - before[1]);
    }
    this.held.set(event.pointerId, now);
  }

  release(event) {
    this.held.delete(event.pointerId);
    event.currentTarget.classList.remove("holding");
  }
}

/** Never 1.000 by rounding alone: that is left to what is equal. */
function similarityOf({ similarity, distance }) {
  const isEqual = distance.toFixed(3) === "0.000";
  return (isEqual ? similarity : Math.min(similarity, 0.999)).toFixed(3);
}

function shareOf(event) {
  const bounds = event.currentTarget.getBoundingClientRect();
  return [(event.clientX - bounds.left) / bounds.width, (event.clientY - bounds.top) / bounds.height];
}

/** A contribution, -1…1 of the strongest, as red, green, blue and opacity. */
function colour(value) {
  const opacity = Math.min(Math.abs(value), 1) ** 0.8;
  return [...(value < 0 ? APART : NEAR), Math.round(255 * opacity)];
}

function ramp(canvas) {
  const pixels = new ImageData(canvas.width, 1);
  const half = (canvas.width - 1) / 2;
  for (let at = 0; at < canvas.width; at += 1) pixels.data.set(colour((at - half) / half), 4 * at);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
