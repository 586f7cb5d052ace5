// A sequence of numbers: read from what is typed, and drawn with a line for each number of a step.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000; // of the drawing's own units, which the page stretches to its width
const HEIGHT = 200;
const MAX_LINES = 6; // more cannot be distinguished

/**
 * Returns the steps of a sequence: numbers, or vectors if a step has several; null if it is none.
 *
 * Takes a JSON list, or numbers with commas, semicolons or white space between them. Where a step has
 * several numbers, a line is a step.
 *
 * @param {string} text
 * @param {number} features Numbers of a step.
 */
export function readSequence(text, features) {
  const written = text.trim();
  if (written.startsWith("[")) return readJson(written);
  const lines = written.split(/\n/).filter((line) => line.trim());
  const vectors = lines.map((line) => line.trim().replace(/\s*[,;]$/, "").split(/\s*[,;]\s*|\s+/).map(readNumber));
  if (!lines.length || vectors.flat().includes(undefined)) return null;
  return features > 1 ? vectors : vectors.flat();
}

function readJson(text) {
  let steps;
  try {
    steps = JSON.parse(text);
  } catch {
    return null;
  }
  const isNumber = (value) => value === null || typeof value === "number";
  const isVector = (value) => Array.isArray(value) && value.every(isNumber);
  return steps.length && (steps.every(isNumber) || steps.every(isVector)) ? steps : null;
}

// A missing number is null; what is no number is undefined.
function readNumber(text) {
  if (/^(null|nan)?$/i.test(text)) return null;
  return Number.isFinite(Number(text)) ? Number(text) : undefined;
}

/** Returns an example of the form, as JSON: a wave. */
export function wave(features) {
  const at = (step, feature) => Number((10 + 5 * Math.sin((step + 3 * feature) / 2)).toFixed(2));
  const steps = Array.from({ length: 24 }, (_, step) =>
    features > 1 ? Array.from({ length: features }, (_, feature) => at(step, feature)) : at(step, 0),
  );
  return JSON.stringify(steps);
}

/**
 * Draws a sequence, or hides the drawing.
 *
 * @param {HTMLElement} figure With an `svg`, which has a title and a description, and a `figcaption`.
 * @param {Array|null} steps As of `readSequence`.
 */
export function drawSequence(figure, steps) {
  figure.hidden = !steps;
  if (!steps) return;
  // Not by spreading: a long sequence has more numbers than a call may have arguments.
  const width = steps.reduce((most, step) => Math.max(most, Array.isArray(step) ? step.length : 1), 1);
  const lines = Array.from({ length: Math.min(width, MAX_LINES) }, (_, feature) =>
    steps.map((step) => (Array.isArray(step) ? step[feature] : step) ?? null),
  );
  const ranges = lines.map(rangeOf);
  const descriptions = ranges.map((range, feature) => `${width > 1 ? `Number ${feature + 1}: ` : ""}${range.text}`);
  const more = width > MAX_LINES ? [`${width - MAX_LINES} more numbers of each step are not drawn`] : [];
  const svg = figure.querySelector("svg");
  svg.querySelector("title").textContent = `The sequence: ${steps.length} ${steps.length > 1 ? "steps" : "step"}`;
  svg.querySelector("desc").textContent = [...descriptions, ...more].join(". ");
  svg.querySelectorAll("path").forEach((path) => path.remove());
  svg.append(...lines.map((line, feature) => drawn(line, ranges[feature], feature)));
  figure.querySelector("figcaption").replaceChildren(
    ...descriptions.map((text, feature) => legend(text, feature)),
    ...more.map((text) => legend(text)),
  );
}

function rangeOf(line) {
  const known = line.filter((number) => number !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const missing = line.length - known.length;
  const text = known.length ? `${inShort(low)} to ${inShort(high)}` : "none";
  return { low, high, text: missing ? `${text}, ${missing} missing` : text };
}

// Each line fills the height by itself, because features differ in their units. A gap is a missing number.
function drawn(line, { low, high }, feature) {
  const x = (step) => (line.length > 1 ? (step / (line.length - 1)) * WIDTH : WIDTH / 2);
  const y = (number) => (high > low ? HEIGHT * (1 - (number / 2 - low / 2) / (high / 2 - low / 2)) : HEIGHT / 2);
  const parts = line.map((number, step) => {
    if (number === null) return "";
    const begins = (line[step - 1] ?? null) === null;
    const isAlone = begins && (line[step + 1] ?? null) === null;
    const place = `${x(step).toFixed(1)} ${y(number).toFixed(1)}`;
    // A step between two gaps is a short line.
    return `${begins ? "M" : "L"}${place}${isAlone ? "m-4 0h8" : ""}`;
  });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", parts.join(""));
  path.setAttribute("class", `line line-${feature}`);
  return path;
}

function legend(text, feature) {
  const entry = document.createElement("span");
  if (feature !== undefined) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 32 8");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", "M2 4H30");
    path.setAttribute("class", `line line-${feature}`);
    svg.append(path);
    entry.append(svg);
  }
  entry.append(text);
  return entry;
}

function inShort(number) {
  return String(Number(number.toPrecision(4)));
}
