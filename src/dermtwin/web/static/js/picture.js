// The picture asked about: as it came with what was cut, the compared view, and a box drawn on it.
import { byId, h, svg } from "./dom.js";

const STEP = 0.02;
const SMALLEST = 0.08;
const within = (value, low, high) => Math.min(Math.max(value, low), high);

/** Let `given` know of every picture that is dropped, pasted, chosen or photographed. */
export function listen(given) {
  const dragged = (on) => (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("dragging", on);
  };
  document.addEventListener("dragover", dragged(true));
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dragged(false)(event); });
  document.addEventListener("drop", (event) => {
    dragged(false)(event);
    const [file] = event.dataTransfer?.files ?? [];
    if (file) given(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) given(file);
  });
  for (const id of ["file", "camera"]) {
    byId(id).addEventListener("change", (event) => {
      const [file] = event.target.files;
      if (file) given(file);
      event.target.value = "";
    });
  }
}

export class Picture {
  /** `onregion` is told of each new box, as [x0, y0, x1, y1] in 0…1 of the view, or null. */
  constructor(place, { onregion, onother }) {
    this.place = place;
    this.onregion = onregion;
    this.onother = onother;
    this.address = null;
    this.region = null;
  }

  /** Show a file at once, before the answer is there; an address serves for a case. */
  preview(source) {
    if (this.address?.startsWith("blob:")) URL.revokeObjectURL(this.address);
    this.address = typeof source === "string" ? source : URL.createObjectURL(source);
    this.place.replaceChildren(h("div", { class: "pictures" },
      h("figure", { class: "alone" }, h("div", { class: "framed" }, this.original()), h("figcaption", {}, "Looking …"))));
    this.place.hidden = false;
    byId("drop").hidden = true;
  }

  /** Say that no answer came, and ask for another picture. */
  unanswered() {
    this.place.querySelector(".alone figcaption")?.replaceChildren("Not compared");
    byId("drop").hidden = false;
  }

  original() {
    return h("img", {
      src: this.address, alt: "The picture as it came",
      // A browser shows no TIFF; the compared view is enough then.
      onerror: (event) => { event.target.closest("figure").hidden = true; },
    });
  }

  /** Show what was compared, what was cut, and what was noticed. */
  show(answer, region) {
    this.region = region;
    const keep = this.place.contains(document.activeElement) ? document.activeElement.id : null;
    const original = this.original();
    const frame = h("div", { class: "framed" }, original);
    original.addEventListener("load", () => this.outline(frame, original, answer.crop), { once: true });
    this.view = h("div", { class: "framed view" },
      h("img", { src: `data:image/jpeg;base64,${answer.view.jpeg}`, alt: "The view that was compared", draggable: "false" }));
    this.view.addEventListener("pointerdown", (event) => this.draw(event));
    this.place.replaceChildren(
      h("div", { class: region ? "pictures asking" : "pictures" },
        h("figure", {}, frame, h("figcaption", {}, answer.crop ? "As it came; shaded: cut" : "As it came")),
        h("figure", {}, this.view, h("figcaption", {}, region ? "Compared: the part in the box" : "Compared"))),
      answer.remarks.length ? h("ul", { class: "remarks" }, ...answer.remarks.map((each) => h("li", {}, each))) : "",
      h("div", { class: "row" },
        h("button", { type: "button", id: "box", class: "second", onclick: () => this.toggle() },
          region ? "Compare the whole" : "Search by a part"),
        h("button", { type: "button", id: "other", class: "second", onclick: () => this.onother() }, "Another picture")),
      h("p", { class: "small", id: "box-help" }, region
        ? "Drag the box to move it, beside it to draw another. Arrow keys move it, with Shift they size it; Enter searches, Escape takes it away."
        : "Draw a box on the compared view to search by that part only; with a finger, press Search by a part first."));
    if (region) this.placeBox();
    if (keep) (byId(keep) ?? byId("box")).focus();
  }

  outline(frame, image, crop) {
    if (!crop) return;
    // The browser may show the picture smaller than its file says; the crop is in the file's pixels.
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const { left, top, right, bottom } = crop;
    const kept = `M${left} ${top}H${right}V${bottom}H${left}Z`;
    frame.append(svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { class: "cut", d: `M0 0H${width}V${height}H0Z${kept}` }),
      svg("path", { class: "kept", d: kept })));
  }

  toggle() {
    if (this.region) return this.onregion(null);
    this.region = [0.25, 0.25, 0.75, 0.75];
    this.placeBox();
    this.box.focus();
    return this.onregion(this.region);
  }

  placeBox() {
    if (!this.box?.isConnected) {
      this.box = h("button", {
        type: "button", class: "region", id: "region", "aria-describedby": "box-help",
        onkeydown: (event) => this.key(event), onclick: () => this.onregion(this.region),
      });
      this.view.append(this.box);
    }
    const [x0, y0, x1, y1] = this.region;
    const style = { left: x0, top: y0, width: x1 - x0, height: y1 - y0 };
    for (const [name, share] of Object.entries(style)) this.box.style[name] = `${100 * share}%`;
    const told = [x0, y0, x1, y1].map((share) => Math.round(100 * share));
    this.box.setAttribute("aria-label",
      `Part to search by: from ${told[0]} % to ${told[2]} % across, from ${told[1]} % to ${told[3]} % down`);
  }

  key(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      this.onregion(null);
      return;
    }
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [x0, y0, x1, y1] = this.region;
    if (event.shiftKey) {
      this.region = [x0, y0, within(x1 + move[0], x0 + SMALLEST, 1), within(y1 + move[1], y0 + SMALLEST, 1)];
    } else {
      const x = within(x0 + move[0], 0, 1 - (x1 - x0));
      const y = within(y0 + move[1], 0, 1 - (y1 - y0));
      this.region = [x, y, x + x1 - x0, y + y1 - y0];
    }
    this.placeBox();
  }

  /** Draw a box by pointer; inside a box that is there, move it. */
  draw(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    // A finger on the view scrolls the page; it draws only once a box was asked for.
    if (event.pointerType === "touch" && !this.region) return;
    event.preventDefault();
    const bounds = this.view.getBoundingClientRect();
    const at = (each) => [
      within((each.clientX - bounds.left) / bounds.width, 0, 1),
      within((each.clientY - bounds.top) / bounds.height, 0, 1),
    ];
    const start = at(event);
    const kept = this.region;
    const before = event.target === this.box ? [...kept] : null;
    const over = new AbortController();
    let drawn = false;
    const move = (each) => {
      const [x, y] = at(each);
      const [dx, dy] = [x - start[0], y - start[1]];
      if (!drawn && Math.hypot(dx, dy) < SMALLEST / 4) return;
      drawn = true;
      this.region = before ? moved(before, dx, dy) : spanned(start, [x, y]);
      this.placeBox();
    };
    const end = () => {
      over.abort();
      if (drawn) this.onregion(this.region);
    };
    // The browser took the pointer, to scroll: nothing was drawn.
    const cancel = () => {
      over.abort();
      this.region = kept;
      if (kept) this.placeBox();
      else this.box?.remove();
    };
    this.view.setPointerCapture(event.pointerId);
    for (const [kind, action] of Object.entries({ pointermove: move, pointerup: end, pointercancel: cancel })) {
      this.view.addEventListener(kind, action, { signal: over.signal });
    }
  }
}

function moved([x0, y0, x1, y1], dx, dy) {
  const x = within(x0 + dx, 0, 1 - (x1 - x0));
  const y = within(y0 + dy, 0, 1 - (y1 - y0));
  return [x, y, x + x1 - x0, y + y1 - y0];
}

function spanned(a, b) {
  const side = (one, two) => {
    const low = Math.min(one, two, 1 - SMALLEST);
    return [low, Math.max(one, two, low + SMALLEST)];
  };
  const [x0, x1] = side(a[0], b[0]);
  const [y0, y1] = side(a[1], b[1]);
  return [x0, y0, x1, y1];
}
