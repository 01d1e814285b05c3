// All cases, page by page. The address holds filters, order and place: it can be shared, and
// whoever comes back from a case finds the same page.
import { ask, caseOf } from "./api.js";
import { byId, debounced, h, tell } from "./dom.js";
import { clearFilters, eligible, Filters } from "./filters.js";
import { classMark, classOf, diagnosisOf, patientOf, thousands } from "./words.js";

const AT_ONCE = 48;
const FIRST = Object.freeze({ after: null, before: null });
const SCROLLED = "cases-scrolled";

const address = new URLSearchParams(location.search);
let order = address.get("order") === "name" ? "name" : "newest";
let place = { after: address.get("after"), before: address.get("before") };
let filters = null;
let running = null;

/** What a page of cases is asked for by, here and in the API. */
function asked({ after, before }) {
  const query = new URLSearchParams();
  for (const each of filters.where) query.append("where", each);
  if (after) query.set("after", after);
  if (before) query.set("before", before);
  return query;
}

function addressOf(to) {
  const kept = asked(to);
  if (order === "name") kept.set("order", order);
  const text = kept.toString();
  return text ? `/cases?${text}` : "/cases";
}

async function load() {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  byId("list").setAttribute("aria-busy", "true");
  const query = asked(place);
  query.set("order", order);
  query.set("limit", AT_ONCE);
  try {
    const [page, count] = await Promise.all([
      ask(`/cases?${query}`, { signal: mine.signal }), eligible(filters.where, mine.signal)]);
    tell(null);
    show(page, count);
  } catch (error) {
    if (error.name === "AbortError") return;
    tell(error.message);
    show({ cases: [] }, null);
  } finally {
    if (running === mine) byId("list").setAttribute("aria-busy", "false");
  }
}

function show({ cases, previous, next }, count) {
  byId("cases").replaceChildren(...cases.map(casePart));
  byId("status").replaceChildren(...(count === null ? [] : toldPart(cases, count)));
  if (count === 0 && filters.where.length) byId("which").open = true; // to be mended there
  const isFirst = !place.after && !place.before;
  for (const pager of document.querySelectorAll(".pager")) {
    pager.replaceChildren(...[
      isFirst ? null : turn("First page", FIRST),
      previous ? turn("Previous", { before: previous }) : null,
      next ? turn("Next", { after: next }) : null].filter(Boolean));
    pager.hidden = !pager.children.length;
  }
}

const turn = (text, to) => h("a", { class: "button second", href: `${addressOf(to)}#list` }, text);

function toldPart(cases, count) {
  if (!count) return [filters.where.length ? "No case meets these conditions; take one away." : "The casebook holds no case yet."];
  if (!cases.length) return ["There is no case on this page any more; go to the first."];
  const many = h("strong", {}, `${thousands(count)} ${count === 1 ? "case" : "cases"}`);
  const ends = [cases[0], cases.at(-1)].map((each) => each.isic_id);
  const shown = count > cases.length ? `, ${cases.length} on this page${order === "name" ? `: ${ends.join(" to ")}` : ""}` : "";
  return [many, shown];
}

function casePart(record) {
  const name = `${record.isic_id}, ${diagnosisOf(record)}`;
  return h("li", { class: `hit ${classOf(record.diagnosis_1)}` },
    h("a", { class: "open", href: caseOf(record.isic_id), "aria-label": `Open case ${name}` },
      h("img", { src: record.thumbnail, alt: "", loading: "lazy", decoding: "async" })),
    h("div", { class: "facts" },
      h("h3", {}, diagnosisOf(record)),
      h("p", {}, classMark(record.diagnosis_1)),
      h("p", {}, patientOf(record)),
      h("p", { class: "small name" }, record.isic_id),
      record.notice ? h("p", {}, h("span", { class: "drawn" }, record.notice)) : null,
      h("p", { class: "similar" }, h("a", {
        href: `/?case=${encodeURIComponent(record.isic_id)}`, "aria-label": `Find cases like this: ${name}`,
      }, "Find cases like this"))));
}

/** Other cases than before: from the first page on. */
function changed() {
  byId("clear-filters").hidden = filters.where.length === 0;
  place = FIRST;
  history.replaceState(null, "", addressOf(place));
  load();
}

async function start() {
  byId("which").open = matchMedia("(min-width: 901px)").matches;
  byId("options").addEventListener("submit", (event) => event.preventDefault());
  byId("order").value = order;
  try {
    filters = await Filters.open(byId("filters"), { where: address.getAll("where"), onchange: debounced(changed, 200) });
  } catch (error) {
    tell(error.message);
    byId("list").setAttribute("aria-busy", "false");
    return;
  }
  byId("order").addEventListener("change", () => { order = byId("order").value; changed(); });
  byId("clear-filters").addEventListener("click", () => clearFilters(filters));
  byId("clear-filters").hidden = filters.where.length === 0;
  await load();
  scrollBack();
}

/** Whoever comes back finds the cases where they were: the browser looks for its place before they are there. */
function scrollBack() {
  const [{ type }] = performance.getEntriesByType("navigation");
  const [left, y] = JSON.parse(sessionStorage.getItem(SCROLLED)) ?? [];
  if (type === "back_forward" && left === location.href) scrollTo(0, y);
  addEventListener("pagehide", () => sessionStorage.setItem(SCROLLED, JSON.stringify([location.href, scrollY])));
}

start();
