// What needs no browser: money, the canonical form, and the reading of a stream.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { canonical, chain, commitmentForm, hex, malformed } from "../chain.js";
import { sha256 } from "../digest.js";
import { sseReader } from "../live.js";
import { ENTRY_TYPES } from "../entry_types.js";
import { cut, decimal, money, percent, quotient, units } from "../numbers.js";
import { entryWords } from "../words.js";

const vectors = JSON.parse(readFileSync(new URL("../../../ledger-core/tests/it/vectors/ledger_v1.json", import.meta.url), "utf8"));
const at = (micros) => {
  const millis = Math.floor(micros / 1000);
  return new Date(millis).toISOString().replace("Z", `${String(micros - millis * 1000).padStart(3, "0")}Z`);
};

/** @param {any[]} entries */
async function verify(entries) {
  const { digest } = await sha256();
  const link = chain(entries[0].bot_id);
  for (const entry of entries) {
    const fault = malformed(entry) ?? link.check(entry, hex(await digest(new TextEncoder().encode(canonical(entry)))));
    if (fault) return fault;
  }
  return null;
}

test("money is exact, and no zero is invented or lost", () => {
  for (const text of ["0.00000000", "12.50000000", "-0.00000001", "92233720368.54775807", "-1000.10000000", "123456789012345678901234567890.00000001"]) {
    assert.equal(decimal(units(text)), text);
  }
  assert.equal(money("1234567.50000000"), "1,234,567.50");
  assert.equal(money("-0.00000001"), "\u22120.00000001");
  assert.equal(money("3.00000000", true), "+3.00");
  assert.equal(percent("0.56000000"), "56\u00a0%");
  assert.equal(percent("0.12345678"), "12.345678\u00a0%");
  assert.equal(cut("0.18400000", 3), "0.184");
  assert.equal(cut("0.18401000", 3), "0.184\u2026");
  assert.equal(cut("-0.09199999", 2), "\u22120.09\u2026");
  assert.equal(quotient(1n, 3n, 2), "0.33");
  assert.equal(quotient(1n, 0n, 2), null);
  for (const wrong of ["", "1,0", "1.", "1e3", " 1", "0x1"]) assert.throws(() => units(wrong), RangeError);
});

test("an entry of each charge has a sentence, and counts as a fee", () => {
  const charges = Object.entries(ENTRY_TYPES).filter(([, declared]) => declared.total === "fees");
  assert.ok(charges.length > 0);
  for (const [entry_type, { amount }] of charges) {
    assert.equal(amount, "negative");
    const words = entryWords({ entry_type, amount: "-0.50000000", reference: "TICK:42" }, null);
    assert.match(words, /^Pays 0\.50 for tick 42[.:]/);
  }
  assert.match(entryWords({ entry_type: "GIFT", amount: "1.00000000", reference: "X" }, null), /does not know/);
});

test("every published chain verifies, and no byte of one can be changed unseen", async () => {
  assert.ok(vectors.chains.length > 0);
  // Numbers beyond 2^53 are in the vectors and not in any arena: here they are refused, never rounded.
  const exact = vectors.chains.filter((entries) => entries.every((entry) => Number.isSafeInteger(entry.bot_id) && Number.isSafeInteger(entry.sequence)));
  assert.ok(exact.length > 0);
  for (const entries of exact) {
    const whole = entries.map((entry) => ({ ...entry, recorded_at: at(entry.recorded_at_us) }));
    assert.equal(await verify(whole), null);
    for (const index of whole.keys()) {
      for (const [field, value] of [
        ["amount", "7.00000000"],
        ["balance_after", "7.00000000"],
        ["reference", "TICK:999999"],
        ["recorded_at_us", 1],
        ["previous_hash", "f".repeat(64)],
        ["hash", "f".repeat(64)],
        ["sequence", 999],
        ["bot_id", 999],
      ]) {
        const tampered = structuredClone(whole);
        tampered[index][field] = value;
        const fault = await verify(tampered);
        assert.ok(fault, `${field} of entry ${index + 1}`);
        if (field !== "sequence" && !(field === "bot_id" && index === 0)) assert.equal(fault.sequence, whole[index].sequence, `${field} of entry ${index + 1}`);
      }
      if (index + 1 < whole.length) assert.equal((await verify([...whole.slice(0, index), ...whole.slice(index + 1)]))?.field, index === 0 ? "sequence" : "sequence");
    }
  }
});

test("an entry that is none is named and not guessed at", () => {
  const sound = { ...vectors.chains[0][0], recorded_at: at(vectors.chains[0][0].recorded_at_us) };
  assert.equal(malformed(sound), null);
  for (const [field, value] of [
    ["amount", "1.0"],
    ["amount", 1],
    ["amount", "-0.00000000"],
    ["amount", "01.00000000"],
    ["reference", "TICK:1\nx"],
    ["reference", ""],
    ["entry_type", "GIFT"],
    ["hash", "F".repeat(64)],
    ["sequence", "1"],
    ["recorded_at_us", 1.5],
  ]) {
    assert.equal(malformed({ ...sound, [field]: value })?.field, field);
  }
  assert.equal(malformed(null)?.field, "row");
});

test("a commitment is over the trimmed answer in its composed form", async () => {
  const { digest } = await sha256();
  const sum = async (market, nonce, answer) => hex(await digest(new TextEncoder().encode(commitmentForm(market, nonce, answer))));
  assert.equal(await sum("0a4b0c5e-1111-4222-8333-944455556666", `${"0".repeat(62)}ff`, "736"), "17a730e4fccc813bd29a57319df28afc113ce1c3b590d875cede9adf25c2fdf5");
  assert.equal(
    await sum("6f1c2a1e-6d4e-4f0e-9b1a-0d7b2f4c9a10", "1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9", "  Sa\u0303o Paulo \n"),
    "4d03b28ce0aca161e66bd7c47ac70a5788ec2f4548f08ea2772ce89799d9a204",
  );
});

test("the vendored SHA-256 agrees with the platform's", async () => {
  const { sha256: script } = await import("../vendor/noble/sha2.js");
  for (const length of [0, 1, 55, 56, 63, 64, 65, 300, 70000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + length) % 256);
    assert.equal(hex(script(bytes)), createHash("sha256").update(bytes).digest("hex"));
  }
});

test("a stream is read the same however it is cut", () => {
  const text = 'retry: 2000\nid: 7-0\n\n: still here\nid: 7-1\n\nid: 8-2\nevent: post\ndata: {"a":\ndata: 1}\n\nid: 9-3\r\ndata: x\r\n\r\n';
  const whole = [
    { id: "7-0", data: "" },
    { id: "7-1", data: "" },
    { id: "8-2", data: '{"a":\n1}' },
    { id: "9-3", data: "x" },
  ];
  for (let size = 1; size <= text.length; size++) {
    /** @type {any[]} */
    const told = [];
    const read = sseReader((event) => told.push(event));
    for (let from = 0; from < text.length; from += size) read(text.slice(from, from + size));
    assert.deepEqual(told, whole, `in pieces of ${size}`);
  }
});
