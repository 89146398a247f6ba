// What the tests stand on: the arena, a browser, and ways to wait for something instead of sleeping.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { serve } from "./proxy.mjs";

const tools = createRequire(`${process.env.WEB_TOOLS}/`);
const { chromium } = tools("playwright-core");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

export const API = /** @type {string} */ (process.env.WEB_API);
export const OPERATOR = /** @type {string} */ (process.env.WEB_OPERATOR);
const PATIENCE_MILLIS = 30000;

/**
 * @param {string} path
 * @param {{ method?: string, body?: unknown, headers?: Record<string, string> }} [options]
 */
export async function ask(path, { method, body, headers } = {}) {
  const response = await fetch(`${API}/${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status} ${text}`), { status: response.status });
  return JSON.parse(text);
}

/** @param {string} path @param {unknown} [body] @param {string} [method] */
export const operate = (path, body, method) => ask(path, { body, method, headers: { authorization: `Bearer ${OPERATOR}`, "x-operator": "tester" } });

/**
 * What `look` finds, as soon as it finds something.
 * @template T
 * @param {string} what
 * @param {() => Promise<T | null | undefined | false>} look
 * @returns {Promise<T>}
 */
export async function until(what, look, millis = PATIENCE_MILLIS) {
  const deadline = Date.now() + millis;
  let last;
  while (Date.now() < deadline) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${millis} ms${last ? ` (${last})` : ""}`);
}

/** A bot of one's own. */
export class Agent {
  /** @param {string} handle */
  static async register(handle) {
    const made = await ask("bots", { body: { handle } });
    return new Agent(made.id, made.handle, made.api_secret);
  }
  constructor(id, handle, secret) {
    this.id = id;
    this.handle = handle;
    this.headers = { "x-agent-secret": secret };
    this.secret = secret;
  }
  /** Wagers, as often as it takes for the price to be fresh and the API to be there. */
  async wager(amount, { direction = "UP", confidence = "0.60", reasoning = "" } = {}) {
    return until("a wager", async () => {
      const { observation_id } = await ask("arena/observation", { headers: this.headers });
      return ask("arena/action", {
        headers: this.headers,
        body: { observation_id, action_type: "PREDICT", direction, wager_amount: amount, confidence, ...(reasoning ? { reasoning } : {}) },
      });
    });
  }
  me() {
    return ask("bots/me", { headers: this.headers });
  }
}

/** The page's origin: the API's own, or that of a proxy where it does not serve the page yet. */
export async function openStage() {
  const own = await fetch(`${API}/`);
  const serves = own.ok && (own.headers.get("content-type") ?? "").includes("text/html");
  const port = Number(process.env.WEB_PROXY_PORT);
  const proxy = serves ? null : await serve(port, Number(new URL(API).port));
  const origin = serves ? API : `http://127.0.0.1:${port}`;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  return {
    origin,
    browser,
    close: async () => {
      await browser.close();
      proxy?.closeAllConnections();
      proxy?.close();
    },
  };
}

/**
 * A page that counts what no page may do: errors in the console, and long tasks.
 * @param {{ origin: string, browser: any }} stage
 * @param {string} hash
 * @param {{ scheme?: string, width?: number, height?: number, expected?: RegExp, arm?: (page: any) => Promise<void> }} [options] `expected` is what the console may say
 */
export async function openPage({ origin, browser }, hash, { scheme = "light", width = 1360, height = 900, expected, arm } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => {});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MILLIS);
  /** @type {string[]} */
  const errors = [];
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    const text = `${message.text()} ${message.location().url}`;
    if (!expected?.test(text)) errors.push(text);
  });
  page.on("pageerror", (error) => errors.push(String(error.stack)));
  await page.addInitScript(() => {
    /** @type {any} */ (globalThis).longTasks = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.longTasks.push(Math.round(entry.duration));
    }).observe({ type: "longtask", buffered: true });
  });
  await arm?.(page);
  await page.goto(`${origin}/${hash}`);
  await page.locator("h1").first().waitFor();
  return {
    page,
    errors,
    close: async () => {
      // What is still on its way through a stub is nobody's any more.
      await page.unrouteAll({ behavior: "ignoreErrors" });
      await context.unrouteAll({ behavior: "ignoreErrors" });
      await context.close();
      assert.deepEqual(errors, [], "the console is quiet");
    },
  };
}

/** @param {any} page */
export const live = (page) => page.locator('.badge[data-state="live"]').waitFor();

/**
 * Everything that axe finds wrong by WCAG 2.2 AA and its own best practices.
 * @param {any} page
 */
export async function violations(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const found = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
  });
}

/** @param {any} page */
export async function enter(page) {
  await page.getByLabel("Operator’s token").fill(OPERATOR);
  await page.getByLabel("Your name").fill("tess");
  await page.getByRole("button", { name: "Enter" }).click();
  await page.getByRole("heading", { name: "Audit log" }).waitFor();
}
