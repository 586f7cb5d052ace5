// The files of a model, verified by the digests of its manifest.

import { GatewiseError } from "./errors.js";

/** The files beside each other in one place. */
export class Files {
  #read;

  /**
   * @param {string} place The path or the address of the folder, for messages.
   * @param {(name: string) => Promise<Uint8Array>} read Reads a file of it.
   */
  constructor(place, read) {
    this.place = place;
    this.#read = read;
  }

  /**
   * The contents of a file.
   *
   * @param {string} name Its name in the folder.
   * @param {Record<string, string>} digests The SHA-256 of files by name, in hexadecimal digits.
   * @returns {Promise<Uint8Array>}
   */
  async bytes(name, digests = {}) {
    const bytes = await this.#read(name);
    // Pages that are not served by https, except from localhost, have no SHA-256.
    if (name in digests && globalThis.crypto?.subtle) {
      const found = hexadecimal(await crypto.subtle.digest("SHA-256", bytes));
      if (found !== digests[name]) {
        throw new GatewiseError(
          `${this.place}: ${name} is damaged or was changed: its SHA-256 is not the one in ` +
            "manifest.json",
        );
      }
    }
    return bytes;
  }

  /** The contents of a JSON file; see `bytes`. */
  async json(name, digests) {
    const bytes = await this.bytes(name, digests);
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw new GatewiseError(`${this.place}: expected JSON in ${name}`);
    }
  }
}

/**
 * Files by their addresses.
 *
 * @param {string|URL} address The address of the folder.
 */
export function fetchedFiles(address) {
  const folder = new URL(address);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return new Files(folder.href, async (name) => {
    const url = new URL(name, folder);
    let response;
    try {
      response = await fetch(url);
    } catch (error) {
      throw new GatewiseError(`${url}: cannot be fetched: ${error.message}`);
    }
    if (!response.ok) {
      throw new GatewiseError(`${url}: the server answered with ${response.status}`);
    }
    return new Uint8Array(await response.arrayBuffer());
  });
}

function hexadecimal(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
