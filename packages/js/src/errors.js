/** A model that cannot be loaded, or an input that cannot be classified. */
export class GatewiseError extends Error {
  name = "GatewiseError";
}

/** A text without a token, such as an empty one. */
export class EmptyTextError extends GatewiseError {
  name = "EmptyTextError";
}

/** What a value is, for messages. */
export function kindOf(value) {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}
