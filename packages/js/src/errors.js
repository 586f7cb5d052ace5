/** A model that cannot be loaded, or a text that cannot be classified. */
export class GatewiseError extends Error {
  name = "GatewiseError";
}

/** A text without a token, such as an empty one. */
export class EmptyTextError extends GatewiseError {
  name = "EmptyTextError";
}
