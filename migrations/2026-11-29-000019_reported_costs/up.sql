-- What agents say that their thinking cost is shown beside what the price book says, and calls whose
-- provider did not say what they used are told from calls that used nothing.
ALTER TABLE agent_metrics
    -- Those of llm_calls of which nobody said what they used.
    ADD COLUMN unreported_calls integer;

ALTER TABLE agent_totals
    -- A part of unpriced_calls.
    ADD COLUMN unreported_calls   bigint NOT NULL DEFAULT 0,
    -- As reported by the agent, kept but not believed.
    ADD COLUMN reported_usd       numeric(28,8) NOT NULL DEFAULT 0,
    -- The calls that reported_usd is the cost of.
    ADD COLUMN reported_usd_calls bigint NOT NULL DEFAULT 0;

-- Of what was reported before, the days that are still kept.
UPDATE agent_totals t
   SET reported_usd = said.usd, reported_usd_calls = said.calls
  FROM (SELECT bot_id, sum(cost_usd) AS usd, sum(llm_calls) AS calls
          FROM agent_metrics WHERE kind = 'ACTION' AND cost_usd IS NOT NULL GROUP BY bot_id) said
 WHERE said.bot_id = t.bot_id;
