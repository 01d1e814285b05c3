// What the nearest cases say together: a sentence, and a bar for each diagnosis beside its base rate.
import { h, svg } from "./dom.js";
import { classMark, classOf, percent } from "./words.js";

const HEIGHT = 20;

/** The sentence and the table. */
export function neighboursPart(neighbours) {
  const { malignant, diagnoses } = neighbours;
  const { count, of, share_weighted: share, low, high } = malignant;
  const together = { name: "Malignant, together", malignancy: "Malignant", count, share, low, high, base: of ? malignant.expected / of : 0 };
  const each = diagnoses.map((one) => ({ ...one, name: one.diagnosis ?? "no diagnosis recorded" }));
  // Where the filter alone tells the class, its share says nothing.
  const rows = [...(malignant.foregone ? [] : [together]), ...each].filter((one) => one.share !== null).map(row);
  return [
    h("p", { class: "sentence" }, `${malignant.text}.`.replace(/\.\.$/, ".")),
    h("table", { class: "shares" },
      h("caption", {}, "The nearer a case, the more it counts; one case at the base rate is added, so that few cases do not read as 0 or 100 %. These are no probabilities of a diagnosis."),
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Diagnosis"), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Bar")),
        h("th", { scope: "col", class: "number" }, "Share (95 %)"), h("th", { scope: "col", class: "number" }, "Base rate"))),
      h("tbody", {}, ...rows)),
    key(),
    neighbours.calibrated === false ? h("p", { class: "small" }, "For such a question these shares were not calibrated.") : "",
  ].filter(Boolean);
}

function row({ name, malignancy, count, share, low, high, base }) {
  return h("tr", {},
    h("th", { scope: "row" }, name, h("br"), h("span", { class: "small" }, classMark(malignancy), ` · ${count} ${count === 1 ? "case" : "cases"}`)),
    h("td", { class: "bar-cell" }, bar({ malignancy, share, low, high, base })),
    h("td", { class: "number" }, h("span", { class: "number" }, percent(share)), " ", h("span", { class: "number small" }, `(${Math.round(100 * low)} – ${Math.round(100 * high)})`)),
    h("td", { class: "number base-cell" }, percent(base)));
}

function bar({ malignancy, share, low, high, base }) {
  const x = (value) => 100 * value;
  const mark = (extra) => svg("line", { class: `base${extra}`, x1: x(base), x2: x(base), y1: 0, y2: HEIGHT });
  return svg("svg", { class: "bar", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "ground", width: 100, height: HEIGHT - 6, y: 3 }),
    svg("rect", { class: `share ${classOf(malignancy)}`, width: x(share), height: HEIGHT - 6, y: 3 }),
    mark(""), mark(" inner"),
    ...["interval outer", "interval"].map((name) =>
      svg("line", { class: name, x1: x(low), x2: x(high), y1: HEIGHT / 2, y2: HEIGHT / 2 })));
}

function key() {
  const sample = (...parts) => svg("svg", { class: "bar", viewBox: `0 0 26 ${HEIGHT}`, "aria-hidden": "true" }, ...parts);
  return h("p", { class: "key" },
    h("span", {}, sample(svg("rect", { class: "share", width: 26, height: 14, y: 3 })), "share among the nearest"),
    h("span", {}, sample(svg("line", { class: "interval", x1: 0, x2: 26, y1: 10, y2: 10 })), "95 % interval"),
    h("span", {}, sample(svg("line", { class: "base inner", x1: 13, x2: 13, y1: 0, y2: HEIGHT })), "base rate: share among all eligible cases, what chance would give"));
}
