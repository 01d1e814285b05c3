// Adding one case: the API checks every field by the archive's vocabularies.
import { ask, caseOf } from "./api.js";
import { byId, h, tell } from "./dom.js";

const form = byId("add");
const preview = byId("preview");

byId("image").addEventListener("change", () => {
  if (preview.src.startsWith("blob:")) URL.revokeObjectURL(preview.src);
  const [file] = byId("image").files;
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
});
// A browser shows no TIFF.
preview.addEventListener("error", () => { preview.hidden = true; });

/** A diagnosis is one of the list, or none. */
byId("diagnosis").addEventListener("input", ({ target }) => {
  const known = levels().join(" > ");
  const isThere = [...byId("diagnoses").options].some((each) => each.value === known);
  target.setCustomValidity(!known || isThere ? "" : "No diagnosis is called so; choose one from the list.");
});

/** The diagnosis as its levels, the widest first. */
const levels = () => byId("diagnosis").value.split(">").map((each) => each.trim()).filter(Boolean);

/** The filled fields; the diagnosis as its levels. */
function filled() {
  const body = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File || value.trim()) body.append(name, value instanceof File ? value : value.trim());
  }
  levels().slice(0, 5).forEach((level, at) => body.append(`diagnosis_${at + 1}`, level));
  return body;
}

/** What became of the case, and what was noticed of it. */
function donePart({ isic_id: name, added, remarks }) {
  const link = h("a", { href: caseOf(name) }, name);
  return [
    h("p", {}, ...(added
      ? ["Added: ", link, ". It is found from now on."]
      : ["There already: ", link, ", with the same picture and values. Nothing was changed."])),
    remarks.length ? h("ul", {}, ...remarks.map((each) => h("li", {}, each))) : "",
  ];
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button");
  button.disabled = true;
  tell(null);
  byId("done").hidden = true;
  try {
    const added = await ask("/cases", { method: "POST", body: filled() });
    byId("done").replaceChildren(...donePart(added));
    byId("done").hidden = false;
    form.reset();
    preview.hidden = true;
    byId("done").focus();
  } catch (error) {
    tell(error.message);
    byId("problem").focus();
  } finally {
    button.disabled = false;
  }
});
