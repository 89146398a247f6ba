// Whom the stories are about: a browser, and two bots.
import { after, before } from "node:test";
import { Agent, ask, openStage, operate, until } from "./stage.mjs";

/** @type {Awaited<ReturnType<typeof openStage>>} */
export let stage;
/** @type {Agent} */
export let ada;
/** @type {Agent} */
export let bob;

before(async () => {
  stage = await openStage();
  await until("a price and a tick", async () => {
    const economy = await ask("economy");
    return economy.price && economy.tick > 0;
  });
  ada = await Agent.register("ada-test");
  bob = await Agent.register("bob-test");
});
after(async () => {
  await stage?.close();
});

/** Opens a market that an operator asks, decided so many seconds from now. */
export const openMarket = (source, criteria, seconds, more = {}) =>
  operate("markets", {
    source,
    description: "A question of the tests.",
    criteria,
    bounty: "8.00",
    deadline: new Date(Date.now() + seconds * 1000).toISOString(),
    ...more,
  });

/** @param {Agent} agent */
export const bet = (agent, market, side, stake) =>
  ask(`markets/${market}/bets`, { headers: agent.headers, body: { side, stake, confidence: "0.70", reasoning: "for the tests" } });
