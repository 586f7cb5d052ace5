// Shades the words of a text by their shares, and marks those that the model does not know. Text enters the page as text, never as HTML.

const FULL_SHARE = 1; // of log-odds, the smallest with full shading: it multiplies the odds by e
const MIN_WEIGHT = 0.08; // of the largest share: smaller shares are not shaded

/**
 * Shows a text with shaded words.
 *
 * @param {HTMLElement} place The element that shows it.
 * @param {string} text The text that was explained.
 * @param {{task: string, truncated: boolean, tokens: object[]}} explained As of POST explain: of each
 *   token the offsets in code points, its share, and whether it is unknown to the model.
 */
export function showWords(place, text, { task, tokens, truncated }) {
  const points = Array.from(text); // strings are indexed in UTF-16 code units, offsets are code points
  const largest = largestOf(task, tokens);
  const parts = [];
  let position = 0;
  const addUntil = (end) => {
    const between = points.slice(position, end).join("");
    parts.push(truncated && /\S/.test(between) ? element("span", "unread", between) : between);
  };
  for (const { start, end, share, unknown } of tokens) {
    addUntil(start);
    const word = points.slice(start, end).join("");
    const weight = Math.abs(share) / largest;
    if (unknown) parts.push(element("span", "unknown", word));
    else parts.push(weight < MIN_WEIGHT ? word : shaded(word, share, weight));
    position = end;
  }
  addUntil(points.length);
  place.replaceChildren(...parts);
}

/** Returns the words with the largest shares, for screen readers. */
export function summary(text, { task, tokens }) {
  const points = Array.from(text);
  const largest = largestOf(task, tokens);
  const words = (sign) =>
    tokens
      .filter(({ share }) => (sign * share) / largest >= MIN_WEIGHT)
      .sort((a, b) => sign * (b.share - a.share))
      .slice(0, 3)
      .map(({ start, end }) => points.slice(start, end).join(""))
      .join(", ");
  const unknown = tokens.filter((token) => token.unknown);
  const unread = unknown.map(({ start, end }) => points.slice(start, end).join("")).join(", ");
  return (
    `Most for it: ${words(1) || "nothing"}. Most against it: ${words(-1) || "nothing"}.` +
    (unread && ` Unknown to the model: ${unread}.`)
  );
}

// The shares of a predicted number are in its own unit, whatever that is.
function largestOf(task, tokens) {
  const shares = tokens.map(({ share }) => Math.abs(share));
  return shares.reduce((a, b) => Math.max(a, b), task === "regression" ? Number.MIN_VALUE : FULL_SHARE);
}

function shaded(word, share, weight) {
  const mark = element("mark", share > 0 ? "for" : "against", word);
  mark.style.setProperty("--weight", weight.toFixed(3));
  mark.title = `${share > 0 ? "+" : "−"}${Number(Math.abs(share).toPrecision(3))}`;
  return mark;
}

function element(name, kind, text) {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}
