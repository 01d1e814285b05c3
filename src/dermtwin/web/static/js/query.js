// The query page: one state, and everything shown follows from it.
import { API, ask, caseOf } from "./api.js";
import { Comparison } from "./compare.js";
import { byId, debounced, h, tell } from "./dom.js";
import { clearFilters, eligible, Filters } from "./filters.js";
import { hitPart, scalePart } from "./hits.js";
import { neighboursPart } from "./neighbours.js";
import { listen, Picture } from "./picture.js";
import { keepPlace } from "./place.js";
import { thousands } from "./words.js";

const UNSTEERED = Object.freeze({ region: null, like: [], unlike: [] });

const OWN = ["patient_id", "lesion_id"];

const NONE = "No case passes the filters.";

const address = new URLSearchParams(location.search);
const state = {
  file: null,
  case: address.get("case"),
  k: Math.min(Math.max(Number(address.get("k")) || 10, 5), 50),
  everyImage: address.has("every_image"),
  steering: UNSTEERED,
  before: [],
  isShownAnyway: false,
};
let filters = null;
let running = null;
let counting = null;
let isCounted = false;
// What the cases that are shown answer: its answer, where it was steered, and the rest of what was asked.
let last = null;

const picture = new Picture(byId("query"), {
  onregion: (region) => steer({ region }),
  onother: () => { byId("drop").hidden = false; byId("file").focus(); },
});
const comparison = new Comparison(byId("compare"), { query: questionPart });

/** Filters, k and a case stand in the address; a picture never does. */
function keepAddress() {
  const kept = new URLSearchParams();
  if (state.case) kept.set("case", state.case);
  if (state.k !== 10) kept.set("k", state.k);
  if (state.everyImage) kept.set("every_image", "1");
  for (const each of filters?.where ?? []) kept.append("where", each);
  const text = kept.toString();
  history.replaceState(null, "", text ? `/?${text}` : "/");
}

/** What is asked about, as the API takes it. */
function questionPart() {
  const form = new FormData();
  if (state.file) form.set("image", state.file, state.file.name || "picture");
  else form.set("case", state.case);
  if (state.steering.region) form.set("region", state.steering.region.map((each) => each.toFixed(4)).join(","));
  return form;
}

function question() {
  const form = questionPart();
  form.set("k", state.k);
  if (state.everyImage) form.set("every_image", "true");
  for (const each of filters?.where ?? []) form.append("where", each);
  // Whose picture it is goes with the question alone, never into the address.
  for (const name of OWN) if (byId(name).value.trim()) form.set(name, byId(name).value.trim());
  for (const each of state.steering.like) form.append("like", each);
  for (const each of state.steering.unlike) form.append("unlike", each);
  return form;
}

async function search() {
  if (!state.file && !state.case) return;
  running?.abort();
  const mine = new AbortController();
  running = mine;
  byId("results").setAttribute("aria-busy", "true");
  byId("status").textContent = "Searching …";
  const asked = question();
  const { steering, before } = state;
  try {
    const answer = await ask("/search", { method: "POST", body: asked, signal: mine.signal });
    tell(null);
    last = { answer, steering, before, unsteered: unsteered(asked) };
    show(answer);
    if (filters && !isCounted) countSoon();
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("status").textContent = "";
    failed(error, { asked, steering, before });
  } finally {
    if (running === mine) byId("results").setAttribute("aria-busy", "false");
  }
}

/** A question without its picture and its steering, as text. */
const unsteered = (form) => JSON.stringify([...form].filter(([name]) => !["image", "region", "like", "unlike"].includes(name)));

/** Say why no answer came. A step that got none is not taken, and what is still shown is told apart. */
function failed(error, { asked, steering, before }) {
  if (last) {
    Object.assign(state, { steering: last.steering, before: last.before });
    if (steering.region !== last.steering.region) picture.show(last.answer, state.steering.region);
  } else picture.unanswered();
  const isOld = last !== null && last.unsteered !== unsteered(asked);
  tell(error.message);
  byId("problem").append(...[
    isOld ? h("p", {}, h("strong", {}, "These are the cases of the question before.")) : null,
    isPassing(error) ? againPart({ steering, before }) : null].filter(Boolean));
  byId("problem").scrollIntoView({ block: "nearest" });
}

/** Whether the same question may be answered later: the server was away or busy, or nobody signed in. */
const isPassing = ({ status }) => !status || status === 401 || status === 429 || status >= 500;

function againPart(step) {
  const again = () => {
    for (const id of ["query", "hits-title"]) byId(id).focus({ preventScroll: true });
    Object.assign(state, step);
    search();
  };
  return h("p", {}, h("button", { type: "button", class: "second", id: "again", onclick: again }, "Try again"));
}

const searchSoon = debounced(search, 200);

const countSoon = debounced(async () => {
  counting?.abort();
  counting = new AbortController();
  try {
    const count = await eligible(filters.where, counting.signal);
    byId("count").textContent = `${thousands(count)} ${count === 1 ? "case passes" : "cases pass"} the filters`;
    isCounted = true;
  } catch (error) {
    isCounted = false;
    if (error.name !== "AbortError") byId("count").textContent = error.message;
  }
}, 150);

function show(answer) {
  const focused = document.activeElement;
  const wasChip = focused.closest("#steering") !== null;
  byId("intro").hidden = true;
  byId("answer").hidden = false;
  byId("drop").hidden = true;
  picture.show(answer, state.steering.region);
  byId("steering").replaceChildren(...steeringPart());
  byId("trust").replaceChildren(answer.hits.length ? trustPart(answer.trust) : nonePart(answer.trust));
  byId("behind").hidden = !isShown(answer);
  byId("neighbours").replaceChildren(...neighboursPart(answer.neighbours));
  byId("scale").replaceChildren();
  scalePart(answer, { isSteered: isSteered() }).then((part) => { if (last?.answer === answer) byId("scale").replaceChildren(...part); });
  byId("hits").replaceChildren(...answer.hits.map((hit) => hitPart(hit, {
    liked: state.steering.like.includes(hit.isic_id),
    unliked: state.steering.unlike.includes(hit.isic_id),
    onlike: (isicId) => marked("like", isicId),
    onunlike: (isicId) => marked("unlike", isicId),
    onopen: (each) => comparison.open(each),
  })));
  byId("made").replaceChildren(...madePart(answer));
  byId("status").textContent = answer.hits.length ? `${answer.hits.length} nearest cases of ${thousands(answer.eligible)} shown.` : NONE;
  if (focused !== document.body) refocus([byId(focused.id), wasChip ? byId("undo") : null, byId("hits-title"), byId("query")]);
}

/** Where the focus went with what is no longer shown, to the first of these that can have it. */
function refocus(elements) {
  for (const each of elements) {
    if (document.activeElement !== document.body) return;
    each?.focus();
  }
}

const isShown = ({ hits, trust }) => hits.length > 0 && (trust.level !== "refused" || state.isShownAnyway);

/** Nothing is wrong with the picture where only the filters leave no case. */
function nonePart({ level, reasons }) {
  const others = reasons.filter(({ code }) => code !== "none-eligible");
  return h("section", { class: "notice warn", "aria-label": "How far to trust this answer", "data-level": level },
    h("p", {}, h("strong", {}, NONE)),
    others.length ? h("ul", {}, ...others.map((each) => h("li", {}, each.text))) : null,
    filters?.where.length ? h("p", {}, h("button", { type: "button", class: "second", id: "loosen", onclick: () => filters.clear() }, "Clear the filters")) : null);
}

function trustPart({ level, reasons }) {
  const heads = {
    usable: "Nothing speaks against comparing this picture.",
    doubtful: "Look with caution.",
    refused: "This picture should not be compared.",
  };
  if (level === "usable" && isSteered()) heads.usable = "A steered search: whether the casebook holds anything near was not judged.";
  const looks = { usable: "notice", doubtful: "notice warn", refused: "notice bad" };
  return h("section", { class: looks[level], "aria-label": "How far to trust this answer", "data-level": level },
    h("p", {}, h("strong", {}, heads[level])),
    reasons.length ? h("ul", {}, ...reasons.map((each) => h("li", {}, each.text))) : null,
    level === "refused" && !state.isShownAnyway ? h("p", {}, h("button", {
      type: "button", class: "second", id: "anyway",
      onclick: () => { state.isShownAnyway = true; show(last.answer); byId("hits-title").focus(); },
    }, "Show the nearest cases anyway")) : null);
}

function isSteered() {
  const { region, like, unlike } = state.steering;
  return region !== null || like.length + unlike.length > 0;
}

function steeringPart() {
  const { region, like, unlike } = state.steering;
  const chip = (text, label, change) => h("button", { type: "button", class: "second", "aria-label": label, onclick: () => steer(change) }, `${text} ×`);
  const chips = [
    ...(region ? [chip("by a part of the picture", "Compare the whole picture again", { region: null })] : []),
    ...like.map((each) => chip(`like ${each}`, `No longer like ${each}`, { like: like.filter((name) => name !== each) })),
    ...unlike.map((each) => chip(`not like ${each}`, `No longer unlike ${each}`, { unlike: unlike.filter((name) => name !== each) })),
  ];
  if (!chips.length && !state.before.length) return [];
  const undo = h("button", { type: "button", class: "second", id: "undo", onclick: undoSteering }, "Undo the last step");
  return [h("div", { class: "chips" }, h("strong", {}, chips.length ? "Steered:" : "Not steered."), ...chips, state.before.length ? undo : null)];
}

function steer(change) {
  state.before = [...state.before, state.steering];
  state.steering = { ...state.steering, ...change };
  search();
}

function undoSteering() {
  state.steering = state.before.at(-1) ?? UNSTEERED;
  state.before = state.before.slice(0, -1);
  search();
}

/** Mark a case, or take its mark away; it is never both. */
function marked(kind, isicId) {
  const other = kind === "like" ? "unlike" : "like";
  const without = (names) => names.filter((name) => name !== isicId);
  const now = state.steering[kind];
  steer({ [kind]: now.includes(isicId) ? without(now) : [...now, isicId], [other]: without(state.steering[other]) });
}

/** What was left out as the picture's own; null where one may not know whether a patient has cases here. */
function leftOut(count) {
  if (count === null) return " If cases of this patient are there, they were left out.";
  if (count) return ` ${thousands(count)} ${count === 1 ? "case" : "cases"} of the same image, lesion or patient ${count === 1 ? "was" : "were"} left out.`;
  return OWN.some((name) => byId(name).value.trim()) ? " No case of this patient or lesion is in the casebook." : "";
}

function madePart(answer) {
  const parts = [
    `${answer.query}: ${thousands(answer.eligible)} eligible cases, ${Math.round(answer.ms)} ms, encoder ${answer.encoder.slice(0, 12)}, casebook version ${answer.gallery_version}.`,
    leftOut(answer.left_out),
  ];
  // Filters and steering move the place with the hits; and what was refused has none.
  const isPlain = isShown(answer) && !isSteered() && !filters?.where.length && !state.everyImage;
  if (keepPlace(isPlain ? answer.map : null)) parts.push(" ", h("a", { href: "/map", target: "_blank", rel: "opener" }, "Its place on the map"), ".");
  if (isShown(answer) && answer.hits.some((hit) => hit.notice)) parts.push(h("br"), h("span", { class: "drawn" }, answer.hits.find((hit) => hit.notice).notice));
  return parts;
}

function begin(source) {
  state.steering = UNSTEERED;
  state.before = [];
  state.isShownAnyway = false;
  last = null;
  state.file = typeof source === "string" ? null : source;
  state.case = typeof source === "string" ? source : null;
  tell(null);
  // What was found for another picture is never shown beside this one.
  byId("compare").close();
  const wasHidden = [byId("drop"), byId("answer")].some((each) => each.contains(document.activeElement));
  byId("answer").hidden = true;
  picture.preview(typeof source === "string" ? `${API}${caseOf(source)}/image` : source);
  if (wasHidden) byId("query").focus();
  keepAddress();
  search();
}

function changed() {
  byId("clear-filters").hidden = filters.where.length === 0;
  keepAddress();
  countSoon();
  searchSoon();
}

async function start() {
  // On a small screen the answer stands nearer to the picture than the filters do.
  byId("which").open = matchMedia("(min-width: 901px)").matches;
  byId("k").value = state.k;
  byId("k-shown").textContent = state.k;
  byId("every-image").checked = state.everyImage;
  byId("options").addEventListener("submit", (event) => event.preventDefault());
  byId("k").addEventListener("input", () => { byId("k-shown").textContent = byId("k").value; });
  byId("k").addEventListener("change", () => { state.k = Number(byId("k").value); keepAddress(); search(); });
  byId("every-image").addEventListener("change", () => { state.everyImage = byId("every-image").checked; keepAddress(); search(); });
  byId("clear-filters").addEventListener("click", () => clearFilters(filters));
  for (const name of OWN) byId(name).addEventListener("change", () => search());
  listen(begin);
  try {
    filters = await Filters.open(byId("filters"), { where: address.getAll("where"), onchange: changed });
    byId("clear-filters").hidden = filters.where.length === 0;
    countSoon();
  } catch (error) {
    tell(error.message);
  }
  if (state.case) begin(state.case);
}

start();
