// The nearest cases as pictures in the order of their ranks.
import { API, ask, caseOf } from "./api.js";
import { h } from "./dom.js";
import { classMark, classOf, diagnosisOf, patientOf } from "./words.js";

// Pictures are never kept by the browser's cache; a case that stays among the hits keeps its element.
const MANY = 200;
const pictures = new Map();
let usual = null;

function pictureOf(hit) {
  if (pictures.size > MANY) pictures.clear();
  if (!pictures.has(hit.isic_id)) pictures.set(hit.isic_id, h("img", { src: hit.thumbnail, alt: "", decoding: "async" }));
  return pictures.get(hit.isic_id);
}

/** One case; its page opens in a new tab, for a picture that is asked about is kept nowhere else. `liked` and `unliked` say how it was marked; the `on…` are told what is wanted. */
export function hitPart(hit, { liked, unliked, onlike, onunlike, onopen }) {
  const name = `case ${hit.rank}, ${diagnosisOf(hit)}`;
  const marks = `${liked ? " liked" : ""}${unliked ? " unliked" : ""}`;
  return h("li", { class: `hit ${classOf(hit.diagnosis_1)}${marks}` },
    h("button", { type: "button", class: "open", id: `open-${hit.isic_id}`, "aria-label": `Compare with ${name}`, onclick: () => onopen(hit) },
      pictureOf(hit),
      h("span", { class: "rank", "aria-hidden": "true" }, String(hit.rank))),
    h("div", { class: "facts" },
      h("h3", {}, diagnosisOf(hit)),
      h("p", {}, classMark(hit.diagnosis_1)),
      h("p", {}, hit.diagnosis_confirm_type ?? "how it was confirmed is not recorded"),
      h("p", {}, patientOf(hit)),
      h("p", { class: "near" }, hit.nearness ? [h("strong", {}, hit.nearness), " · "] : null, `distance ${hit.distance.toFixed(3)}`),
      h("p", { class: "small" }, h("a", { href: caseOf(hit.isic_id), target: "_blank" }, hit.isic_id)),
      hit.notice ? h("p", {}, h("span", { class: "drawn" }, hit.notice)) : null,
      h("div", { class: "more" },
        mark("like", "Like this", { hit, name, pressed: liked, onclick: () => onlike(hit.isic_id) }),
        mark("unlike", "Not this", { hit, name, pressed: unliked, onclick: () => onunlike(hit.isic_id) }),
        hit.images_of_lesion > 1 ? others(hit, name) : null)));
}

/** What the hits' distances mean: a line, where the encoder's card says what is usual. */
export async function scalePart({ encoder, hits }, { isSteered }) {
  if (isSteered) return ["Distances are from the steered search, not from the picture alone."];
  if (!hits.length) return [];
  const half = (await usualOf(encoder))?.["50"];
  const usual = half ? `; half of the images that the encoder learnt from have another lesion within ${half.toFixed(3)}` : "";
  return [`Distance 0: the same code${usual}.`];
}

/** Percentiles of the distance to the nearest other lesion, by the encoder's card; asked for once. */
async function usualOf(encoder) {
  if (usual?.encoder !== encoder) usual = { encoder, card: ask("/encoders").catch(() => null) };
  const [described] = (await usual.card)?.encoders ?? [];
  return described?.id === encoder ? described.card.distances.code : null;
}

function mark(kind, text, { hit, name, pressed, onclick }) {
  return h("button", {
    type: "button", class: "second", id: `${kind}-${hit.isic_id}`, "aria-pressed": String(pressed),
    "aria-label": `${text}: ${name}`, onclick,
  }, text);
}

function others(hit, name) {
  const count = hit.images_of_lesion - 1;
  const text = `${count} more ${count === 1 ? "photograph" : "photographs"}`;
  return h("button", {
    type: "button", class: "second", id: `more-${hit.isic_id}`, "aria-expanded": "false", "aria-label": `${text} of ${name}`,
    onclick: (event) => toggle(event.currentTarget, hit),
  }, text);
}

async function toggle(button, hit) {
  const facts = button.closest(".facts");
  const shown = facts.querySelector(".thumbnails, .notice");
  if (button.ariaBusy === "true") return; // not twice, however fast it is clicked
  button.setAttribute("aria-expanded", String(!shown));
  if (shown) {
    shown.remove();
    return;
  }
  button.ariaBusy = "true";
  try {
    facts.append(await photographs(hit.isic_id, { target: "_blank" }));
  } catch (error) {
    facts.append(h("p", { class: "notice bad", role: "alert" }, error.message));
  } finally {
    button.ariaBusy = "false";
  }
}

/** The other photographs of a case's lesion, each leading to its page, in `target`. */
export async function photographs(isicId, { target = null } = {}) {
  const { cases } = await ask(`${caseOf(isicId)}/lesion`);
  return h("ul", { class: "thumbnails" }, ...cases.filter((each) => each.isic_id !== isicId).map((each) =>
    h("li", {}, h("a", { href: caseOf(each.isic_id), target },
      h("img", { src: `${API}${caseOf(each.isic_id)}/thumbnail`, alt: `Photograph ${each.isic_id}`, width: 88, height: 88 })))));
}
