// Ours, not noble's: the one function of it that this page uses.
export declare function sha256(bytes: Uint8Array): Uint8Array;
