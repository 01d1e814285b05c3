// The map page: every case a point; the one under the pointer, or in the middle, is told beside it.
import { API, ask, caseOf } from "./api.js";
import { byId, debounced, h, svg, tell } from "./dom.js";
import { keptPlace } from "./place.js";
import { Plane } from "./plane.js";
import { thousands } from "./words.js";

const CLASSES = [
  { letter: "m", ink: "malignant", name: "Malignant" },
  { letter: "b", ink: "benign", name: "Benign" },
  { letter: "o", ink: "other", name: "Other or unknown" },
];
const REACH = 14; // CSS pixels around the pointer
const STILL = 4; // a pointer that moved less was not dragged
const STEP = 60; // CSS pixels an arrow key moves by
const QUERY_ZOOM = 6;

const frame = byId("plane");
const query = keptPlace();
const pointers = new Map();
let map = null;
let plane = null;
let chosen = -1;
let moved = 0;
let isFinger = false;

async function start() {
  try {
    map = await ask("/map");
  } catch (error) {
    tell(error.message);
    return;
  }
  if (!map.isic_ids.length) {
    tell("No case of this casebook has a place on the map yet.");
    return;
  }
  byId("map").hidden = false;
  byId("plane-label").textContent = `Map of ${thousands(map.isic_ids.length)} cases`;
  showLegend();
  plane = new Plane(frame.querySelector("canvas"), { points: placesOf(map), kinds: kindsOf(map), ondraw: drawMarks });
  paintInks();
  byId("to-query").hidden = !query;
  listen();
}

function placesOf({ points, box: [x0, y0, x1, y1] }) {
  const bytes = Uint8Array.from(atob(points), (each) => each.charCodeAt(0));
  const read = new DataView(bytes.buffer);
  const places = new Float32Array(bytes.length / 2);
  for (let at = 0; at < places.length; at += 1) {
    const share = read.getUint16(2 * at, true) / 65535;
    places[at] = at % 2 ? y0 + share * (y1 - y0) : x0 + share * (x1 - x0);
  }
  return places;
}

const classPart = (name, ink) => h("span", { class: `class ${ink}` }, name);

function kindsOf({ classes }) {
  return Uint8Array.from(classes, (letter) => CLASSES.findIndex((each) => each.letter === letter));
}

function showLegend() {
  byId("legend").replaceChildren(...CLASSES.map(({ letter, ink, name }) => {
    const count = map.classes.split(letter).length - 1;
    return h("li", {}, classPart(name, ink), h("span", { class: "n" }, thousands(count)));
  }));
  byId("unplaced").textContent = `${thousands(map.unplaced)} new ${map.unplaced === 1 ? "case has" : "cases have"} no place yet; dermtwin map gives one.`;
  byId("unplaced").hidden = !map.unplaced;
}

/** Colours as the page has them now, light or dark. */
function paintInks() {
  plane.inks = CLASSES.map(({ ink }) => getComputedStyle(document.querySelector(`#legend .${ink}`), "::before").color.match(/[\d.]+/g).slice(0, 3).map(Number));
  plane.redraw();
}

function listen() {
  frame.addEventListener("pointerdown", pressed);
  frame.addEventListener("pointermove", pointed);
  frame.addEventListener("pointerup", released);
  frame.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    plane.zoomBy(2 ** (-event.deltaY / (event.deltaMode ? 12 : 300)), at(event));
  }, { passive: false });
  frame.addEventListener("keydown", typed);
  byId("in").addEventListener("click", () => plane.zoomBy(1.6));
  byId("out").addEventListener("click", () => plane.zoomBy(1 / 1.6));
  byId("all").addEventListener("click", showAll);
  byId("to-query").addEventListener("click", () => plane.look(query, Math.max(plane.zoom, QUERY_ZOOM)));
  new MutationObserver(paintInks).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintInks);
}

function at(event) {
  const { left, top } = frame.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

function pressed(event) {
  if (event.button) return;
  frame.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  if (pointers.size === 1) moved = 0;
  isFinger = event.pointerType === "touch";
}

function pointed(event) {
  const now = at(event);
  const before = pointers.get(event.pointerId);
  if (!before) {
    choose(plane.nearest(now, REACH));
    return;
  }
  moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (moved < STILL) return;
  frame.classList.add("dragged");
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  pointers.set(event.pointerId, now);
  if (other) {
    // Two fingers: the plane follows the distance between them.
    const apart = (each) => Math.hypot(each[0] - other[0], each[1] - other[1]) || 1;
    plane.zoomBy(apart(now) / apart(before), other);
  } else plane.moveBy(now[0] - before[0], now[1] - before[1]);
}

function released(event) {
  const wasAlone = pointers.size === 1;
  if (!pointers.delete(event.pointerId)) return;
  if (!pointers.size) frame.classList.remove("dragged");
  if (!wasAlone || moved >= STILL) return;
  const found = plane.nearest(at(event), REACH);
  // A finger cannot point without touching: it chooses, and opens by the link.
  if (event.pointerType === "mouse") open(found);
  else choose(found);
}

function typed(event) {
  const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (moves[event.key]) plane.moveBy(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") plane.zoomBy(1.6);
  else if (event.key === "-") plane.zoomBy(1 / 1.6);
  else if (event.key === "0") showAll();
  else if (event.key === "Enter") open(inTheMiddle());
  else return;
  event.preventDefault();
  choose(inTheMiddle());
}

const inTheMiddle = () => plane.nearest([frame.clientWidth / 2, frame.clientHeight / 2], frame.clientWidth);

function showAll() {
  const [x0, y0, x1, y1] = plane.box;
  plane.look([(x0 + x1) / 2, (y0 + y1) / 2], 1);
}

function open(number) {
  if (number >= 0) location.assign(caseOf(map.isic_ids[number]));
}

function choose(number) {
  if (number < 0 || number === chosen) return;
  chosen = number;
  plane.redraw();
  tellChosen();
}

// Each picture is a look that the audit log keeps: only where the pointer rests.
const tellChosen = debounced(() => {
  const isicId = map.isic_ids[chosen];
  const { name, ink } = CLASSES.find((each) => each.letter === map.classes[chosen]);
  byId("chosen").replaceChildren(
    h("img", { src: `${API}${caseOf(isicId)}/thumbnail`, alt: "" }),
    h("p", {}, h("a", { href: caseOf(isicId) }, isicId)),
    h("p", {}, classPart(name, ink)));
  // On a small screen the case stands below the map.
  if (isFinger) byId("chosen").scrollIntoView({ block: "nearest" });
}, 150);

function drawMarks() {
  byId("marks").replaceChildren(...chosenMark(), ...queryMark());
}

function chosenMark() {
  if (chosen < 0) return [];
  const [x, y] = plane.toScreen([plane.points[2 * chosen], plane.points[2 * chosen + 1]]);
  return [svg("circle", { class: "ring", cx: x, cy: y, r: plane.size / 2 + 4 })];
}

function queryMark() {
  if (!query) return [];
  const [x, y] = plane.toScreen(query);
  const isFarRight = x > frame.clientWidth - 130;
  const cross = `M${x - 14} ${y}h28M${x} ${y - 14}v28`;
  return [
    svg("path", { class: "query-halo", d: cross }),
    svg("path", { class: "query-mark", d: cross }),
    svg("circle", { class: "query-mark", cx: x, cy: y, r: 9 }),
    svg("text", { class: "query-text", x: isFarRight ? x - 14 : x + 14, y: y - 12, "text-anchor": isFarRight ? "end" : "start" }, "your picture"),
  ];
}

start();
