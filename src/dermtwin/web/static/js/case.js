// A case's page: its picture, record, lesion and history, and its end.
import { API, ask, caseOf } from "./api.js";
import { byId, h, tell } from "./dom.js";
import { photographs } from "./hits.js";
import { diagnosisOf, recordRows, thousands } from "./words.js";

const place = byId("case");
const isicId = place.dataset.case;

async function start() {
  try {
    show(await ask(caseOf(isicId)));
    await showLesion();
  } catch (error) {
    tell(error.message);
  } finally {
    place.setAttribute("aria-busy", "false");
  }
}

function show(record) {
  byId("picture").replaceChildren(
    h("img", { src: `${API}${caseOf(isicId)}/image`, alt: `Case ${isicId}: ${diagnosisOf(record)}` }),
    h("figcaption", {}, diagnosisOf(record), " ", record.notice ? h("span", { class: "drawn" }, record.notice) : null));
  byId("record").replaceChildren(...recordRows(record));
  byId("history").replaceChildren(...(record.history ?? []).map(entry));
  byId("whole").hidden = false;
  byId("forget")?.addEventListener("click", rehearse);
}

function entry(each) {
  const when = each.at ? h("time", { datetime: each.at }, `${each.at.slice(0, 16).replace("T", " ")} UTC`) : null;
  return h("li", {}, ...[when, each.verb ?? each.kind, each.who ? `by ${each.who}` : null].filter(Boolean).flatMap((part, at) => (at ? [" · ", part] : [part])));
}

async function showLesion() {
  const list = await photographs(isicId);
  if (!list.children.length) return;
  const section = byId("lesion");
  section.querySelector("ul").replaceWith(list);
  section.hidden = false;
}

/** Tell what would go before anything goes. */
async function rehearse() {
  const dialog = byId("forgetting");
  const title = h("h2", { id: "forgetting-title" }, `Forget ${isicId}?`);
  const wait = h("p", { role: "status" }, "Looking what would go …");
  const cancel = h("button", { type: "button", class: "second", onclick: () => dialog.close() }, "Keep it");
  dialog.replaceChildren(title, wait, h("div", { class: "row" }, cancel));
  dialog.showModal();
  try {
    const { would_go: plan } = await ask(`${caseOf(isicId)}?dry_run=true`, { method: "DELETE" });
    wait.replaceWith(planPart(plan));
    if (!plan.held?.length) {
      cancel.before(h("button", { type: "button", class: "danger", id: "forget-now", onclick: (event) => forget(event.currentTarget) }, "Forget it for good"));
    }
  } catch (error) {
    wait.replaceWith(h("p", { class: "notice bad", role: "alert" }, error.message));
  }
}

function planPart(plan) {
  const counted = (names, one, many) => (names?.length ? h("li", {}, `${thousands(names.length)} ${names.length === 1 ? one : many}`) : null);
  return h("div", {},
    h("p", {}, "Nothing has been changed yet. This would go, from the record, the files and every later answer, and cannot be brought back:"),
    h("ul", {},
      counted(plan.cases, "case", "cases"),
      counted(plan.images, "image file, with its thumbnail", "image files, each with its thumbnail"),
      counted(plan.lesions, "lesion that no other case names", "lesions that no other case names"),
      counted(plan.patients, "patient whom no other case names", "patients whom no other case names"),
      h("li", {}, `${thousands(plan.codes)} ${plan.codes === 1 ? "code" : "codes"}`),
      plan.points ? h("li", {}, `${thousands(plan.points)} ${plan.points === 1 ? "place" : "places"} on the map`) : null),
    ...(plan.held ?? []).map((hold) => h("p", { class: "notice warn" }, `A hold forbids this: ${hold.why ?? hold}`)));
}

async function forget(button) {
  button.disabled = true;
  button.textContent = "Forgetting, and looking whether it is gone …";
  try {
    const { receipt, told } = await ask(caseOf(isicId), { method: "DELETE" });
    byId("forgetting").close();
    showGone(receipt, told);
  } catch (error) {
    button.replaceWith(h("p", { class: "notice bad", role: "alert" }, error.message));
  }
}

function showGone(receipt, told) {
  byId("whole").remove();
  const gone = byId("gone");
  gone.replaceChildren(
    h("div", { class: receipt.is_gone ? "notice good" : "notice bad", role: "status" },
      h("p", {}, h("strong", {}, receipt.is_gone ? "Forgotten: it was looked for, and nothing is left." : "Forgotten, but something is left or could not be read; see the receipt.")),
      receipt.copies?.length ? h("p", {}, `${receipt.copies.length} backups or exports may still hold it; deal with each.`) : null),
    h("h2", {}, "Receipt"),
    h("pre", { class: "receipt", tabindex: 0, "aria-label": "Receipt" }, told),
    h("p", {}, h("a", { href: "/" }, "To the first page")));
  gone.hidden = false;
  gone.focus();
}

start();
