// Requests to the API. A problem document (RFC 9457) becomes a Problem with its sentence.
import { ENDED } from "./dom.js";
import { inWords } from "./words.js";

export const API = "/api/v1";

export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Ask the API; resolves to its JSON. Raises Problem, or AbortError where `signal` says so. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  let response;
  try {
    response = await fetch(API + path, { method, body, signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer; look whether it still runs, then try again.", 0);
  }
  // The page stays, with the picture or the form that is filled in.
  if (response.status === 401) throw new Problem(ENDED, 401);
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return answer;
  const said = typeof answer?.detail === "string" ? answer.detail : null;
  throw new Problem(said ? inWords(said) : `The server could not do this (${response.status}).`, response.status);
}

/** The address of a case in the API. */
export const caseOf = (isicId) => `/cases/${encodeURIComponent(isicId)}`;
