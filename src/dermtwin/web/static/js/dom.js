// Elements from plain values. Text is always set as text: nothing from a record is read as HTML.

/** An element by its id. */
export const byId = (id) => document.getElementById(id);

/** Make an element: `on…` keys are listeners, `true` an empty attribute, null and false none. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((each) => each !== null && each !== undefined));
  return element;
}

/** What is told where nobody is signed in any more. */
export const ENDED = "Your session ended; sign in in another tab, then try again.";

/** Show a sentence in the page's alert, or take it away. */
export function tell(message) {
  const place = byId("problem");
  const signIn = h("a", { href: "/login", target: "_blank" }, "Sign in");
  place.replaceChildren(message ?? "", ...(message === ENDED ? [" ", signIn] : []));
  place.hidden = !message;
}

/** Call once, `ms` after the last call. */
export function debounced(action, ms) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), ms);
  };
}
