// Filters on the cases' fields, written as everywhere in dermtwin: `field=value`, see `find --where`.
import { ask } from "./api.js";
import { h } from "./dom.js";
import { thousands } from "./words.js";

/** Part a list at its commas, but never inside a value that is known: the server reads it so too. */
function parted(text, known) {
  const parts = text.split(",");
  const values = [];
  while (parts.length) {
    let length = parts.length;
    while (length > 1 && !known.has(parts.slice(0, length).join(",").trim())) length -= 1;
    values.push(parts.splice(0, length).join(",").trim());
  }
  return values;
}

export class Filters {
  /** Read the casebook's fields and build the form in `place`; `where` are conditions to begin with. */
  static async open(place, { where, onchange }) {
    const fields = await ask("/fields");
    return new Filters(place, { fields, where, onchange });
  }

  constructor(place, { fields, where, onchange }) {
    this.onchange = onchange;
    this.conditions = new Map();
    this.parts = new Map();
    const shown = fields.filter((field) => this.isShown(field));
    for (const field of shown) this.parts.set(field.name, this.part(field));
    // What the form cannot show (a lesion by name, say) still holds, and is told.
    this.others = [];
    for (const text of where) this.begin(text);
    place.replaceChildren(...[...this.parts.values()].map((part) => part.details), ...this.otherChips());
    this.count();
  }

  isShown({ kind, values }) {
    if (kind === "number") return true;
    return (kind === "choice" || kind === "flag") && (values ?? []).length > 0;
  }

  /** All conditions as text. */
  get where() {
    return [...[...this.conditions].map(([name, value]) => `${name}=${value}`), ...this.others];
  }

  clear() {
    for (const part of this.parts.values()) part.set("");
    this.conditions.clear();
    this.others.length = 0;
    this.changed();
  }

  begin(text) {
    const [name, ...rest] = text.split("=");
    const value = rest.join("=");
    const part = this.parts.get(name);
    if (part && part.set(value)) this.conditions.set(name, value);
    else this.others.push(text);
  }

  otherChips() {
    return this.others.map((text) =>
      h("p", { class: "row" }, h("button", {
        type: "button", class: "second", "aria-label": `Remove the filter ${text}`,
        onclick: (event) => {
          this.others.splice(this.others.indexOf(text), 1);
          focusOn(event.currentTarget);
          event.currentTarget.parentElement.remove();
          this.changed();
        },
      }, `${text} ×`)));
  }

  part(field) {
    const chosen = h("span", { class: "chosen" });
    const made = field.kind === "number" ? this.range(field) : this.choice(field);
    const details = h("details", {},
      h("summary", {}, field.label, chosen),
      h("fieldset", {}, h("legend", { class: "unseen" }, field.label), ...made.rows));
    const changed = () => {
      const value = made.value();
      if (value) this.conditions.set(field.name, value);
      else this.conditions.delete(field.name);
      this.changed();
    };
    details.addEventListener("change", changed);
    return {
      details,
      set: (value) => made.set(value),
      tell: () => { chosen.textContent = made.told(); },
    };
  }

  choice(field) {
    const known = new Set(field.values.map((each) => each.value));
    const box = (value, text, count) => h("label", { class: "check" },
      h("input", { type: "checkbox", value }), h("span", {}, text), h("span", { class: "n" }, thousands(count)));
    const rows = field.values.map(({ value, count }) => box(value, value, count));
    const unknown = field.unknown ? box("?", "not recorded", field.unknown) : null;
    if (unknown) rows.push(unknown);
    const inputs = rows.map((row) => row.querySelector("input"));
    // A value and "not recorded" exclude each other: a case would have to meet both.
    for (const input of inputs) {
      input.addEventListener("change", () => {
        if (!input.checked) return;
        for (const other of inputs) if ((other.value === "?") !== (input.value === "?")) other.checked = false;
      });
    }
    const checked = () => inputs.filter((input) => input.checked).map((input) => input.value);
    return {
      rows,
      value: () => checked().join(","),
      told: () => (checked().length ? `${checked().length} chosen` : ""),
      set: (text) => {
        const values = text === "" ? [] : parted(text, known);
        for (const input of inputs) input.checked = values.includes(input.value);
        return checked().length === values.length;
      },
    };
  }

  range(field) {
    const input = (label) => h("input", { type: "number", min: 0, max: 120, step: 5, "aria-label": `${field.label}, ${label}` });
    const [low, high] = [input("from"), input("to")];
    const clean = (each) => (/^\d+$/.test(each.value) ? each.value : "");
    const ends = () => {
      const [from, to] = [clean(low), clean(high)];
      return from && to && Number(from) > Number(to) ? [to, from] : [from, to];
    };
    const value = () => (ends().some(Boolean) ? ends().join("..") : "");
    return {
      rows: [h("div", { class: "row" }, low, h("span", {}, "to"), high)],
      value,
      told: () => value().replace("..", " – "),
      set: (text) => {
        const found = /^(\d*)(\.\.)?(\d*)$/.exec(text);
        if (!found) return false;
        low.value = found[1];
        high.value = found[2] ? found[3] : found[1];
        return true;
      },
    };
  }

  changed() {
    this.count();
    this.onchange();
  }

  count() {
    for (const part of this.parts.values()) part.tell();
  }
}

/** Take all conditions away, by a button that hides itself then. */
export function clearFilters(filters) {
  focusOn(document.getElementById("clear-filters"));
  filters.clear();
}

/** The focus to the heading above what is about to go. */
const focusOn = (element) => element.closest("details").querySelector("summary").focus();

/** How many cases pass. */
export async function eligible(where, signal) {
  const query = new URLSearchParams(where.map((each) => ["where", each]));
  return (await ask(`/count?${query}`, { signal })).eligible;
}
