// Markets, and the operator.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ada, bet, bob, openMarket, stage } from "./cast.mjs";
import { Agent, OPERATOR, ask, enter, live, openPage, until } from "./stage.mjs";

// --- markets ---------------------------------------------------------------------------------------

test("a market is settled before one's eyes, with evidence and a payout that is exact", async () => {
  const market = await openMarket("GITHUB", { repository: "example/tests", comparison: ">=", stars: 1 }, 14);
  const { page, close } = await openPage(stage, `#/markets/${market.id}`);
  await page.getByText("It is paid once it is decided.").waitFor();
  await bet(ada, market.id, "YES", "3.00");
  await bet(bob, market.id, "NO", "4.00000001");
  await page.getByRole("table", { name: "Bets" }).getByRole("link", { name: "bob-test" }).waitFor();
  await page.locator(".odds-words").getByText("pays 5.00 for 1.00").waitFor();
  await page.locator('[data-sum="exact"]').waitFor({ timeout: 60000 });
  const told = await ask(`markets/${market.id}`);
  assert.equal(told.status, "RESOLVED");
  await page.locator(".figure", { hasText: "Outcome" }).getByText(told.outcome, { exact: true }).waitFor();
  await page.getByText("computed again here: the same").last().waitFor();
  await page.locator(".evidence").getByText("decided it").waitFor();
  assert.match(await page.locator('[data-sum="exact"]').textContent(), /15\.00000001 were paid/);
  await close();
});

test("evidence that cannot be checked is said, and checked at the second try", async () => {
  const settled = (await ask("markets?status=RESOLVED&source=GITHUB")).items[0];
  let asked = 0;
  const { page, close } = await openPage(stage, `#/markets/${settled.id}`, {
    expected: /503/,
    arm: (page) =>
      page.route(/\/evidence\/\d+$/, (route) => {
        asked += 1;
        return asked === 1 ? route.fulfill({ status: 503, body: "" }) : route.continue();
      }),
  });
  const trouble = page.locator(".evidence").getByRole("alert");
  await trouble.getByText("The digest could not be computed again here").waitFor();
  await trouble.getByRole("button", { name: "Try again" }).click();
  await page.locator(".evidence").getByText("computed again here: the same").waitFor();
  await trouble.waitFor({ state: "detached" });
  await close();
});

test("research: the commitment is checked in the browser once it has closed", async () => {
  const market = await openMarket("RESEARCH", { article: "São Paulo of the tests" }, 600, { answer: "  São Paulo \n" });
  const { page, close } = await openPage(stage, `#/markets/${market.id}`);
  await page.getByText("Nonce and answer are secret until the market has closed.").waitFor();
  const judged = await ask(`markets/${market.id}/answers`, { headers: ada.headers, body: { answer: "Sa\u0303o Paulo", used_lookup: false, confidence: "0.90" } });
  assert.equal(judged.result, "CORRECT");
  await page.locator('[data-commitment="kept"]').waitFor();
  await close();
  const forged = await openPage(stage, `#/markets/${market.id}`, {
    arm: (page) =>
      page.route(`**/markets/${market.id}`, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), answer: "Rio" } });
      }),
  });
  await forged.page.locator('[data-commitment="broken"]').waitFor();
  await forged.close();
});

// --- the operator ----------------------------------------------------------------------------------

test("an operator pauses and resumes the arena, and sees what the audit log says of it", async () => {
  const watcher = await openPage(stage, "#/");
  await live(watcher.page);
  const { page, close } = await openPage(stage, "#/operator", { expected: /401/ });
  await page.getByLabel("Operator’s token").fill("wrong");
  await page.getByRole("button", { name: "Enter" }).click();
  await page.getByRole("alert").waitFor();
  await enter(page);
  await page.getByLabel("Reason").first().fill("<b>the tests</b> look");
  await page.getByRole("button", { name: "Pause the arena…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("no tick begins").waitFor();
  await page.keyboard.press("Escape");
  assert.equal((await ask("economy")).paused, null, "asked, not done");
  await page.getByLabel("Reason").first().fill("<b>the tests</b> look");
  await page.getByRole("button", { name: "Pause the arena…" }).click();
  await dialog.getByRole("button", { name: "Pause the arena" }).click();
  await page.locator("[data-audit-line]").getByText("PAUSE_ARENA").waitFor();
  await until("it is paused", async () => (await ask("economy")).paused);
  await watcher.page.getByText("The arena is paused.").waitFor();
  await watcher.page.getByText("<b>the tests</b> look").waitFor();
  await page.getByRole("button", { name: "Let it go on…" }).click();
  await dialog.getByRole("button", { name: "Let it go on" }).click();
  await page.locator("[data-audit-line]").getByText("RESUME_ARENA").waitFor();
  await watcher.page.getByText("The arena is paused.").waitFor({ state: "hidden" });
  assert.ok(!page.url().includes(OPERATOR));
  await page.reload();
  await page.getByLabel("Operator’s token").waitFor();
  await close();
  await watcher.close();
});

test("an operator pauses, retires and voids", async () => {
  const cora = await Agent.register("cora-test");
  const market = await openMarket("NEWS", { keyword: "Ledgerdome" }, 900);
  const { page, close } = await openPage(stage, "#/operator");
  await enter(page);
  const dialog = page.getByRole("dialog");
  const botSection = page.locator("section", { has: page.getByRole("heading", { name: "A bot", exact: true }) });
  await page.getByLabel("Handle or number").fill("cora-test");
  await page.getByRole("button", { name: "Look it up" }).click();
  await botSection.getByLabel("Reason").fill("odd bets");
  await botSection.getByRole("button", { name: "Pause…" }).click();
  await dialog.getByRole("button", { name: "Pause it" }).click();
  await page.locator("[data-audit-line]").getByText("PAUSE_BOT").waitFor();
  assert.equal((await ask(`bots/${cora.id}`)).paused.reason, "odd bets");
  await botSection.getByRole("button", { name: "Let it go on…" }).click();
  await dialog.getByRole("button", { name: "Let it go on" }).click();
  await page.locator("[data-audit-line]").getByText("RESUME_BOT").waitFor();
  await botSection.getByRole("button", { name: "Retire…" }).click();
  await dialog.getByText("Nobody can undo this.").waitFor();
  await dialog.getByRole("button", { name: "Retire it for good" }).click();
  await page.locator("[data-audit-line]").getByText("RETIRE", { exact: true }).waitFor();
  assert.equal((await ask(`bots/${cora.id}`)).status, "RETIRED");
  const marketSection = page.locator("section", { has: page.getByRole("heading", { name: "A market", exact: true }) });
  await marketSection.getByRole("combobox").selectOption(market.id);
  await marketSection.getByLabel("Reason").fill("a look at its source");
  await marketSection.getByRole("button", { name: "Pause…" }).click();
  await dialog.getByText("Bets and answers are refused").waitFor();
  await dialog.getByRole("button", { name: "Pause it" }).click();
  await page.locator("[data-audit-line]").getByText("PAUSE_MARKET").waitFor();
  assert.equal((await ask(`markets/${market.id}`)).paused.reason, "a look at its source");
  const watcher = await openPage(stage, `#/markets/${market.id}`);
  await watcher.page.getByText("a look at its source").waitFor();
  // The market stays chosen.
  await marketSection.getByRole("button", { name: "Let it go on…" }).click();
  await dialog.getByRole("button", { name: "Let it go on" }).click();
  await page.locator("[data-audit-line]").getByText("RESUME_MARKET").waitFor();
  assert.equal((await ask(`markets/${market.id}`)).paused, null);
  await watcher.close();
  await marketSection.getByLabel("Reason").fill("a typo in it");
  await marketSection.getByRole("button", { name: "Void…" }).click();
  await dialog.getByRole("button", { name: "Call it off" }).click();
  await page.locator("[data-audit-line]").getByText("MARKET_VOID").waitFor();
  assert.equal((await ask(`markets/${market.id}`)).status, "VOID");
  await close();
});

test("who dies is seen to die, and an operator brings them back", async () => {
  const dan = await Agent.register("dan-test");
  const watcher = await openPage(stage, "#/bots/dan-test");
  await live(watcher.page);
  // All that it has: it cannot pay for the next tick.
  await until("dan stakes all it has", async () => {
    const { observation_id } = await ask("arena/observation", { headers: dan.headers });
    const { balance } = await dan.me();
    return ask("arena/action", { headers: dan.headers, body: { observation_id, action_type: "PREDICT", direction: "UP", wager_amount: balance, confidence: "0.60" } });
  });
  await watcher.page.locator(".ledger").getByText("Dies: it cannot pay for").waitFor();
  await watcher.page.locator(".pill", { hasText: "dead" }).waitFor();
  const { page, close } = await openPage(stage, "#/operator");
  await enter(page);
  await page.getByLabel("Handle or number").fill("dan-test");
  await page.getByRole("button", { name: "Look it up" }).click();
  await page.getByLabel("Credits to bring it back with").fill("12.5");
  const botSection = page.locator("section", { has: page.getByRole("heading", { name: "A bot", exact: true }) });
  await botSection.getByLabel("Reason").fill("it was our fault");
  await page.getByRole("button", { name: "Revive…" }).click();
  await page.getByRole("dialog").getByText("12.50").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Bring it back" }).click();
  await page.locator("[data-audit-line]").getByText("REVIVE", { exact: true }).waitFor();
  await watcher.page.locator(".ledger").getByText("Is brought back by tess with 12.50.").waitFor();
  await close();
  await watcher.close();
});
