// The arena as it lives, and chains.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { ada, stage } from "./cast.mjs";
import { ask, enter, live, openPage, until } from "./stage.mjs";

const run = promisify(execFile);
const OFFLINE = /ERR_|Failed to load resource|502/;

// --- the arena, live -------------------------------------------------------------------------------

test("a bot that joins by the form is shown its credentials once, appears by itself, and its first lines work", async () => {
  const watcher = await openPage(stage, "#/");
  await live(watcher.page);
  await watcher.page.getByRole("searchbox").fill("eve-joins");
  const { page, close, errors } = await openPage(stage, "#/join", { expected: /409/ });
  await page.getByLabel("Handle").fill("ada-test");
  await page.getByRole("button", { name: "Register" }).click();
  await page.getByRole("alert").getByText("This handle is taken, in this or another spelling of case.").waitFor();
  await page.getByLabel("Handle").fill("eve-joins");
  await page.getByRole("button", { name: "Register" }).click();
  await page.getByRole("heading", { name: "eve-joins has joined" }).waitFor();
  const secret = await page.locator('[data-secret="secret"]').textContent();
  assert.match(secret, /^lds_/);
  assert.match(await page.locator('[data-secret="key"]').textContent(), /^ldk_/);
  await page.getByRole("button", { name: "Copy the secret" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await watcher.page.locator("tbody").getByRole("link", { name: "eve-joins" }).waitFor();

  const curl = await page.locator('[data-snippet="curl"]').textContent();
  const answer = JSON.parse((await run("bash", ["-c", curl])).stdout);
  assert.equal(answer.status, "ACCEPTED");
  const python = (await page.locator('[data-snippet="python"]').textContent()).replace("while True:", "for _ in range(1):").replace("time.sleep(60)", "");
  assert.match((await run("python3", ["-c", python])).stdout, /^balance \d+\.\d{8}$/m);

  assert.equal(new URL(page.url()).hash, "#/join");
  const kept = await page.evaluate(async () => ({
    local: Object.keys(localStorage).length,
    session: Object.keys(sessionStorage).length,
    cookies: document.cookie,
    databases: (await indexedDB.databases()).length,
  }));
  assert.deepEqual(kept, { local: 0, session: 0, cookies: "", databases: 0 });
  await page.getByRole("link", { name: "Markets" }).click();
  await page.getByRole("heading", { name: "Markets" }).waitFor();
  await page.getByText("Bets of").waitFor();
  await page.getByRole("link", { name: "Join", exact: true }).click();
  await page.getByRole("heading", { name: "A new bot" }).waitFor();
  assert.ok(!(await page.content()).includes(secret), "shown once");
  assert.deepEqual(errors, []);
  await close();
  await watcher.close();
});

test("a wager through the API moves feed and balance without a reload", async () => {
  const arena = await openPage(stage, "#/");
  const bot = await openPage(stage, "#/bots/ada-test");
  await live(arena.page);
  await live(bot.page);
  const loaded = await arena.page.evaluate(() => performance.timeOrigin);
  await ada.wager("7.12345678", { reasoning: "to be seen in the feed" });
  const story = arena.page.locator(".story", { hasText: "to be seen in the feed" });
  await story.waitFor();
  assert.match(await story.textContent(), /ada-test.*wager.*7\.12345678 on UP at 60 %/);
  await bot.page.locator(".ledger").getByText("Stakes 7.12345678 that the price goes up, 60\u00a0% sure.").waitFor();
  const entry = (await ask(`bots/${ada.id}/ledger?limit=50`)).items.find((one) => one.entry_type === "WAGER");
  await bot.page.locator(".ledger tbody tr", { hasText: "Stakes 7.12345678" }).locator(`text=${entry.hash.slice(0, 8)}`).waitFor();
  await until("the balance on the page is that of the API", async () => {
    const shown = (await bot.page.locator(".figure", { hasText: "Balance" }).first().locator(".money").textContent()).replaceAll(",", "");
    return (await ada.me()).balance.startsWith(shown);
  });
  await until("the prediction is settled", async () => (await ask(`predictions?bot=${ada.id}`)).items.every((one) => one.status !== "OPEN"), 60000);
  await bot.page.locator(".ledger").getByText(/prediction \d+ (was right|is void)|Loses its stake of prediction/).first().waitFor();
  assert.equal(await arena.page.evaluate(() => performance.timeOrigin), loaded);
  await arena.close();
  await bot.close();
});

test("standings can be searched and sorted by the keyboard, and say how they are sorted", async () => {
  const { page, close } = await openPage(stage, "#/");
  const table = page.getByRole("table", { name: "Standings" });
  await table.getByRole("row").nth(3).waitFor();
  await table.getByRole("button", { name: "Cost" }).focus();
  await page.keyboard.press("Enter");
  await page.locator('th[aria-sort="descending"]', { hasText: "Cost" }).waitFor();
  const costs = (await table.locator("tbody tr td:nth-child(6)").allTextContents()).map((text) => Number(text.replaceAll(",", "")));
  assert.deepEqual(costs, [...costs].sort((a, b) => b - a));
  await page.keyboard.press("Enter");
  await page.locator('th[aria-sort="ascending"]', { hasText: "Cost" }).waitFor();
  await page.getByRole("searchbox").fill("BOB-te");
  await until("one row", async () => (await table.locator("tbody tr").count()) === 1);
  await page.getByRole("searchbox").fill("nobody-at-all");
  await page.getByText("No bot is called so.").waitFor();
  await close();
});

test("killed and started again, the API is found again and no event is lost", async () => {
  const { page, close } = await openPage(stage, "#/", { expected: OFFLINE });
  await live(page);
  await page.locator(".story").first().waitFor();
  // Whoever is cut off says so.
  await page.evaluate(() => {
    globalThis.states = [];
    const badge = document.querySelector(".badge");
    new MutationObserver(() => globalThis.states.push(badge.getAttribute("data-state"))).observe(badge, { attributes: true, childList: true, characterData: true, subtree: true });
  });
  const began = new Date().toISOString();
  const pid = Number(readFileSync(`${process.env.WEB_RUN}/api.pid`, "utf8").split(" ")[0]);
  let going = true;
  let made = 0;
  const wagering = (async () => {
    while (going) {
      await ada.wager("0.02", { reasoning: `event ${made}` });
      made++;
    }
  })();
  await until("some wagers", async () => made >= 5);
  process.kill(pid, "SIGKILL");
  await until("the API is another process", async () => {
    const now = Number(readFileSync(`${process.env.WEB_RUN}/api.pid`, "utf8").split(" ")[0]);
    return now !== pid && (await ask("health"));
  });
  const before = made;
  await until("wagers go on", async () => made >= before + 5);
  going = false;
  await wagering;
  await live(page);
  const wanted = (await ask("posts/feed?limit=200")).items.filter((post) => post.created_at >= began).map((post) => `${post.handle} ${post.created_at} ${post.content}`);
  assert.ok(wanted.length >= made);
  await until(`all of ${wanted.length} posts are on the page`, async () => {
    const more = page.locator(".feed").getByRole("button", { name: "Show more" });
    if (await more.isVisible()) await more.click();
    const shown = new Set(
      await page.locator(".story").evaluateAll((stories) => stories.map((one) => `${one.querySelector(".handle").textContent} ${one.querySelector("time").dateTime} ${one.querySelector("p").textContent}`)),
    );
    return wanted.every((post) => shown.has(post));
  });
  const dates = await page.locator(".story time").evaluateAll((times) => times.map((time) => time.dateTime));
  assert.deepEqual(dates, [...dates].sort().reverse(), "in order");
  assert.equal(new Set(await page.locator(".story").evaluateAll((all) => all.map((one) => one.textContent + one.querySelector("time").dateTime))).size, dates.length, "none twice");
  assert.ok((await page.evaluate(() => globalThis.states)).includes("reconnecting"));
  await close();
});

test("cut off, the page says since when it is stale, and is live again afterwards", async () => {
  const { page, close } = await openPage(stage, "#/", { expected: OFFLINE });
  await live(page);
  // The API ends, and for this page nobody takes its place.
  await page.route("**/events", (route) => route.abort());
  process.kill(Number(readFileSync(`${process.env.WEB_RUN}/api.pid`, "utf8").split(" ")[0]), "SIGKILL");
  await page.locator('.badge[data-state="stale"]').waitFor({ timeout: 60000 });
  assert.match(await page.locator(".badge").textContent(), /^Stale since \d\d:\d\d:\d\d$/);
  await page.unroute("**/events");
  await live(page);
  await close();
});

test("where only bots and operators may listen, the page says so, asks instead, and listens once it may", async () => {
  const { page, close } = await openPage(stage, "#/", {
    expected: /401/,
    arm: (page) =>
      page.route("**/events", async (route) => {
        if ((await route.request().allHeaders()).authorization) return route.continue();
        const problem = { type: "/problems/unauthorized", title: "Credentials are missing or wrong", status: 401, detail: "Listening is for bots and operators here.", instance: "/events", request_id: "x" };
        return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify(problem) });
      }),
  });
  await page.locator('.badge[data-state="closed"]').waitFor();
  assert.equal(await page.locator(".badge").getAttribute("title"), "Listening is for bots and operators here.");
  await ada.wager("0.02", { reasoning: "found by asking" });
  await page.locator(".story", { hasText: "found by asking" }).waitFor();
  await page.getByRole("link", { name: "Operator", exact: true }).click();
  await enter(page);
  await live(page);
  await close();
});

// --- chains ----------------------------------------------------------------------------------------

test("a chain is verified in the browser, with head and length", async () => {
  const { page, close } = await openPage(stage, "#/bots/ada-test");
  await page.getByRole("button", { name: "Verify this chain" }).click();
  const verdict = page.locator('[data-verdict="sound"]');
  await verdict.waitFor();
  const head = (await verdict.locator(".head-hash code").textContent()).trim();
  const length = Number(/All ([\d,]+) entr/.exec(await verdict.textContent())[1].replaceAll(",", ""));
  const entry = (await ask(`bots/${ada.id}/ledger?limit=200`)).items.find((one) => one.sequence === length);
  assert.equal(head, entry.hash);
  await close();
});

test("of a tampered chain the entry is named", async () => {
  const { page, close } = await openPage(stage, "#/bots/ada-test", {
    arm: (page) =>
      page.context().route(/\/bots\/\d+\/ledger\?limit=200/, async (route) => {
        const response = await route.fetch();
        const told = await response.json();
        for (const entry of told.items) if (entry.sequence === 3) entry.amount = "-0.00000001";
        await route.fulfill({ response, json: told });
      }),
  });
  await page.getByRole("button", { name: "Verify this chain" }).click();
  const verdict = page.locator('[data-verdict="broken"]');
  await verdict.waitFor();
  assert.match(await verdict.textContent(), /broken at entry 3\..*its hash is not what it must be/s);
  assert.match(await verdict.textContent(), /The 2 entries before it are sound/);
  await close();
});

test("a page from an insecure origin verifies as well, with a hash of its own", async () => {
  const { page, close } = await openPage(stage, "#/bots/ada-test", {
    arm: (page) => page.addInitScript(() => delete globalThis.crypto.subtle),
  });
  // Workers have a `crypto` of their own: what decides is what they find, so take it from the source.
  await page.context().route(/digest\.js/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace("globalThis.crypto?.subtle", "false") });
  });
  await page.getByRole("button", { name: "Verify this chain" }).click();
  await page.locator('[data-verdict="sound"]').waitFor();
  await page.getByText("a SHA-256 in JavaScript").waitFor();
  await close();
});
