// Shades the words of a text by their shares, and marks those that the model does not know. Text enters the page as text, never as HTML.

const FULL_SHARE = 1; // the smallest share with full shading: it multiplies the odds by e
const MIN_WEIGHT = 0.08; // of the largest share: smaller shares are not shaded

/**
 * Shows a text with shaded words.
 *
 * @param {HTMLElement} place The element that shows it.
 * @param {string} text The text that was explained.
 * @param {{start: number, end: number, share: number, unknown: boolean}[]} tokens Offsets in code points.
 * @param {boolean} truncated Whether the model read only a part of it.
 */
export function showWords(place, text, tokens, truncated) {
  const points = Array.from(text); // strings are indexed in UTF-16 code units, offsets are code points
  const largest = largestOf(tokens);
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
export function summary(text, tokens) {
  const points = Array.from(text);
  const largest = largestOf(tokens);
  const words = (sign) =>
    tokens
      .filter(({ share }) => sign * share >= MIN_WEIGHT * largest)
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

function largestOf(tokens) {
  return tokens.reduce((largest, { share }) => Math.max(largest, Math.abs(share)), FULL_SHARE);
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
