// The nearest cases as pictures in the order of their ranks.
import { API, ask, caseOf } from "./api.js";
import { h } from "./dom.js";
import { classMark, classOf, diagnosisOf, patientOf } from "./words.js";

// Pictures are never kept by the browser's cache; a case that stays among the hits keeps its element.
const MANY = 200;
const pictures = new Map();

function pictureOf(hit) {
  if (pictures.size > MANY) pictures.clear();
  if (!pictures.has(hit.isic_id)) pictures.set(hit.isic_id, h("img", { src: hit.thumbnail, alt: "", decoding: "async" }));
  return pictures.get(hit.isic_id);
}

/** One case. `liked` and `unliked` say how it was marked; the `on…` are told what is wanted. */
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
      h("p", { class: "near" }, hit.nearness ? [h("strong", {}, hit.nearness), " · "] : "distance ", hit.distance.toFixed(3)),
      h("p", { class: "small" }, h("a", { href: caseOf(hit.isic_id) }, hit.isic_id)),
      hit.notice ? h("p", {}, h("span", { class: "drawn" }, hit.notice)) : null,
      h("div", { class: "more" },
        mark("like", "Like this", { hit, name, pressed: liked, onclick: () => onlike(hit.isic_id) }),
        mark("unlike", "Not this", { hit, name, pressed: unliked, onclick: () => onunlike(hit.isic_id) }),
        hit.images_of_lesion > 1 ? others(hit, name) : null)));
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
  button.setAttribute("aria-expanded", String(!shown));
  if (shown) {
    shown.remove();
    return;
  }
  try {
    facts.append(await photographs(hit.isic_id));
  } catch (error) {
    facts.append(h("p", { class: "notice bad", role: "alert" }, error.message));
  }
}

/** The other photographs of a case's lesion, each leading to its page. */
export async function photographs(isicId) {
  const { cases } = await ask(`${caseOf(isicId)}/lesion`);
  return h("ul", { class: "thumbnails" }, ...cases.filter((each) => each.isic_id !== isicId).map((each) =>
    h("li", {}, h("a", { href: caseOf(each.isic_id) },
      h("img", { src: `${API}${caseOf(each.isic_id)}/thumbnail`, alt: `Photograph ${each.isic_id}`, width: 88, height: 88 })))));
}
