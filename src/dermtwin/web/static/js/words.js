// The words for a case, the same on every page.
import { h } from "./dom.js";

const CLASSES = { Malignant: "malignant", Benign: "benign" };

const LABELS = {
  isic_id: "Case", lesion_id: "Lesion", patient_id: "Patient",
  diagnosis_1: "Class", diagnosis_2: "Diagnosis, level 2", diagnosis_3: "Diagnosis, level 3",
  diagnosis_4: "Diagnosis, level 4", diagnosis_5: "Diagnosis, level 5",
  diagnosis_confirm_type: "Confirmed by", age_approx: "Age", sex: "Sex",
  anatom_site_general: "Site", fitzpatrick_skin_type: "Skin type (Fitzpatrick)",
  image_type: "Image type", attribution: "Attribution", copyright_license: "Licence",
};

/** A problem's sentence for people: fields by their labels, and a capital letter unless a name comes first. */
export function inWords(said) {
  const labelled = said.replace(/(?<!')\b[a-z]+(?:_[a-z0-9]+)+\b(?![='])/g, (name) => {
    const label = LABELS[name]?.replace(",", "") ?? name;
    return label[0].toLowerCase() + label.slice(1);
  });
  return labelled.replace(/^[a-z]+(?= )/, (word) => word[0].toUpperCase() + word.slice(1));
}

/** The name of a CSS class for `diagnosis_1`. */
export const classOf = (malignancy) => CLASSES[malignancy] ?? "other";

/** The deepest diagnosis that is known. */
export function diagnosisOf(record) {
  for (const level of [5, 4, 3, 2, 1]) {
    if (record[`diagnosis_${level}`]) return record[`diagnosis_${level}`];
  }
  return "no diagnosis recorded";
}

/** A diagnosis's class in a word and a shape. */
export const classMark = (malignancy) =>
  h("span", { class: `class ${classOf(malignancy)}` }, malignancy ?? "class unknown");

/** Site, age and sex, those that are known. */
export function patientOf(record) {
  const age = record.age_approx === null || record.age_approx === undefined ? null : `${record.age_approx} years`;
  return [record.anatom_site_general, age, record.sex].filter(Boolean).join(" · ") || "site, age and sex unknown";
}

/** The known fields as the rows of a `<dl>`. */
export function recordRows(record) {
  return Object.entries(LABELS)
    .filter(([name]) => record[name] !== null && record[name] !== undefined)
    .flatMap(([name, label]) => [
      h("dt", {}, label),
      h("dd", {}, name === "diagnosis_1" ? classMark(record[name]) : String(record[name])),
    ]);
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export const thousands = (number) => number.toLocaleString("en");
