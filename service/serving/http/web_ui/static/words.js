// A text with the words shaded that decided. Puts text into the page as text, never as HTML.

const FULL = 1; // the share that is shaded in full where none is larger: the odds, e times as high
const LEAST = 0.08; // of the largest share: what is less is not shaded

/**
 * Shows a text with its shares.
 *
 * @param {HTMLElement} place What it is shown in.
 * @param {string} text The text that was explained.
 * @param {{start: number, end: number, share: number}[]} tokens Offsets in code points.
 * @param {boolean} truncated Whether not all of it was read.
 */
export function showWords(place, text, tokens, truncated) {
  const points = Array.from(text); // a string is indexed in UTF-16, the offsets are not
  const largest = largestOf(tokens);
  const parts = [];
  let here = 0;
  const pass = (end) => {
    const between = points.slice(here, end).join("");
    parts.push(truncated && /\S/.test(between) ? element("span", "unread", between) : between);
  };
  for (const { start, end, share } of tokens) {
    pass(start);
    const word = points.slice(start, end).join("");
    const weight = Math.abs(share) / largest;
    parts.push(weight < LEAST ? word : shaded(word, share, weight));
    here = end;
  }
  pass(points.length);
  place.replaceChildren(...parts);
}

/** The words that count most, for those who do not see the shades. */
export function summary(text, tokens) {
  const points = Array.from(text);
  const largest = largestOf(tokens);
  const told = (sign) =>
    tokens
      .filter(({ share }) => sign * share >= LEAST * largest)
      .sort((a, b) => sign * (b.share - a.share))
      .slice(0, 3)
      .map(({ start, end }) => points.slice(start, end).join(""))
      .join(", ");
  return `Most for it: ${told(1) || "nothing"}. Most against it: ${told(-1) || "nothing"}.`;
}

function largestOf(tokens) {
  return tokens.reduce((largest, { share }) => Math.max(largest, Math.abs(share)), FULL);
}

function shaded(word, share, weight) {
  const mark = element("mark", share > 0 ? "for" : "against", word);
  mark.style.setProperty("--weight", weight.toFixed(3));
  mark.title = `${share > 0 ? "+" : "−"}${Math.abs(share).toFixed(2)}`;
  return mark;
}

function element(name, kind, text) {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}
