// SHA-256: the browser's own where it has one. Pages that were not fetched over HTTPS or from this
// very machine have none, and then a vendored one of good name does the same, slower.

/**
 * @returns {Promise<{ engine: "webcrypto" | "script", digest: (bytes: Uint8Array) => Promise<Uint8Array> | Uint8Array }>}
 */
export async function sha256() {
  if (globalThis.crypto?.subtle) {
    const digest = async (/** @type {Uint8Array} */ bytes) =>
      new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes)));
    return { engine: "webcrypto", digest };
  }
  const { sha256: digest } = await import("./vendor/noble/sha2.js");
  return { engine: "script", digest };
}
