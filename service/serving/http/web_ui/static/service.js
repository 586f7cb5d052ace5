// Requests to the service, and the messages of its errors.

let key = ""; // kept in the memory of this page only

/** An error response, or no response. */
export class Refusal extends Error {
  /**
   * @param {number} status The HTTP status; 0 if there was no response.
   * @param {{type?: string, detail?: string, title?: string}} problem The problem document.
   * @param {number} seconds Seconds until a retry makes sense; 0 for never.
   */
  constructor(status, problem, seconds) {
    super(messageOf(status, problem));
    this.status = status;
    this.kind = (problem.type ?? "").replace("urn:gatewise:problem:", "");
    this.seconds = seconds;
  }
}

/** Sets the API key of later requests. */
export function useKey(secret) {
  key = secret;
}

/**
 * Sends a request and measures its time.
 *
 * @param {string} path Relative to the page, which a proxy may serve below any path.
 * @param {object} [body] The JSON body of a POST; without it the request is a GET.
 * @param {AbortSignal} [signal]
 * @returns {Promise<{answer: any, version: string, milliseconds: number, truncated: boolean}>} The
 *   version that answered, and whether an input was longer than the model reads.
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
  const version = response.headers.get("Gatewise-Version") ?? "";
  const truncated = response.headers.has("Gatewise-Truncated-Texts");
  if (response.ok) return { answer: JSON.parse(contents), version, milliseconds, truncated };
  throw new Refusal(response.status, problemIn(contents), secondsToWait(response));
}

/**
 * Returns the path of a route of a model, or of one of its versions.
 *
 * @param {{model: string, version: string|null}} place
 * @param {string} route
 */
export function routeOf({ model, version }, route) {
  const ofVersion = version === null ? "" : `versions/${encodeURIComponent(version)}/`;
  return `models/${encodeURIComponent(model)}/${ofVersion}${route}`;
}

/** Returns the shell's command that sends the same request; it names no key. */
export function curlOf(path, body) {
  const quoted = (value) => `'${value.replaceAll("'", "'\\''")}'`;
  const authorization = key ? ' -H "Authorization: Bearer $KEY"' : "";
  const address = new URL(path, document.baseURI).href;
  return `curl ${quoted(address)}${authorization} --json ${quoted(JSON.stringify(body))}`;
}

function problemIn(contents) {
  try {
    return JSON.parse(contents) ?? {};
  } catch {
    return {}; // a response of a proxy, not of the service
  }
}

function secondsToWait(response) {
  if (![429, 502, 503, 504].includes(response.status)) return 0;
  return Math.min(Math.max(Number(response.headers.get("Retry-After")) || 2, 1), 30);
}

function messageOf(status, problem) {
  const messages = {
    0: "The service cannot be reached. Retrying.",
    401: "The service does not accept this key.",
    403: "This key does not allow classification.",
    413: "This is longer than the service accepts.",
    429: "The service is busy. Retrying.",
    502: "The service cannot be reached. Retrying.",
    503: "The model is not ready yet. Retrying.",
    504: "The service took too long. Retrying.",
  };
  return messages[status] ?? problem.detail ?? `The service answered with status ${status}.`;
}
