// Where the last query lies on the map: two numbers, kept in this tab alone, never in an address.

const KEY = "place-on-map";

/** Remember a place, or that there is none; whether there is one to be looked at. */
export function keepPlace(place) {
  try {
    if (place) sessionStorage.setItem(KEY, JSON.stringify([place.x, place.y]));
    else sessionStorage.removeItem(KEY);
  } catch {
    return false; // storage may be forbidden
  }
  return Boolean(place);
}

/** The last query's place, [x, y]; null: none. */
export function keptPlace() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(kept) && kept.length === 2 && kept.every(Number.isFinite) ? kept : null;
  } catch {
    return null;
  }
}
