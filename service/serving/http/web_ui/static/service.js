// What is asked of the service, and what its answers mean. Knows nothing of what is shown.

let key = ""; // in this page's memory, and nowhere else

/** An answer that is none. */
export class Refusal extends Error {
  /**
   * @param {number} status The HTTP status; 0 if there was no answer at all.
   * @param {{type?: string, detail?: string, title?: string}} problem The problem document.
   * @param {number} seconds After how many it makes sense to ask again; 0 for never.
   */
  constructor(status, problem, seconds) {
    super(inWords(status, problem));
    this.status = status;
    this.kind = (problem.type ?? "").replace("urn:gatewise:problem:", "");
    this.seconds = seconds;
  }
}

/** Gives the key that is sent from now on. */
export function useKey(secret) {
  key = secret;
}

/**
 * Asks, and tells how long it took.
 *
 * @param {string} path Relative to the page, so that it may lie below any address.
 * @param {object} [body] What is posted; without it the path is fetched.
 * @param {AbortSignal} [signal]
 * @returns {Promise<{answer: any, milliseconds: number}>}
 * @throws {Refusal}
 */
export async function ask(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const options = { headers, signal, cache: "no-store" };
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const start = performance.now();
  let response, contents;
  try {
    response = await fetch(path, options);
    contents = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, {}, 2);
  }
  const milliseconds = performance.now() - start;
  if (response.ok) return { answer: JSON.parse(contents), milliseconds };
  throw new Refusal(response.status, problemIn(contents), secondsToWait(response));
}

/** The address of a model's route. */
export function routeOf(model, route) {
  return `models/${encodeURIComponent(model)}/${route}`;
}

function problemIn(contents) {
  try {
    return JSON.parse(contents) ?? {};
  } catch {
    return {}; // not of the service itself, but of a proxy before it
  }
}

function secondsToWait(response) {
  if (![429, 502, 503, 504].includes(response.status)) return 0;
  return Math.min(Math.max(Number(response.headers.get("Retry-After")) || 2, 1), 30);
}

function inWords(status, problem) {
  const told = {
    0: "The service cannot be reached. It is asked again.",
    401: "The service does not take this key.",
    403: "This key does not allow to classify.",
    413: "The text is longer than the service takes.",
    429: "The service is busy. It is asked again.",
    502: "The service cannot be reached. It is asked again.",
    503: "The model is not ready yet. It is asked again.",
    504: "The service took too long. It is asked again.",
  };
  return told[status] ?? problem.detail ?? `The service answers with an error, ${status}.`;
}
