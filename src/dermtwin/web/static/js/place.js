// Where the last query lies on the map: two numbers, kept in this tab alone, never in an address, and
// for whoever asked alone.

const KEY = "place-on-map";
const person = document.querySelector(".person")?.textContent ?? "";

/** Remember a place, or that there is none; whether there is one to be looked at. */
export function keepPlace(place) {
  try {
    if (place) sessionStorage.setItem(KEY, JSON.stringify([person, place.x, place.y]));
    else sessionStorage.removeItem(KEY);
  } catch {
    return false; // storage may be forbidden
  }
  return Boolean(place);
}

/** The place of this person's last query, [x, y]; null: none. */
export function keptPlace() {
  try {
    const [who, ...place] = JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    return who === person && place.length === 2 && place.every(Number.isFinite) ? place : null;
  } catch {
    return null;
  }
}
