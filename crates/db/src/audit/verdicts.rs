//! The expected result of each settled prediction, by its rules and the stored samples: set-based,
//! so that a range of bots is one query.
//!
//! Samples may come late, and history may be read after a prediction was settled. So a sample is
//! compared with those stored before it, and a missing one with those stored long before the
//! settlement. A price from a history never takes precedence over a sample taken in time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ledger_core::prediction::PriceSource;
use ledger_core::{EconomyRules, Hash, Timestamp};
use tokio_postgres::Client;

use crate::error::DbResult;

/// Longer than any transaction that keeps a sample may take: one that is older was there to be read.
const SETTLED_MARGIN_SECONDS: i64 = 60;

/// How long an older build may have run at the same time after an upgrade.
const UPGRADE_SECONDS: i64 = 86_400;

/// Since this migration positions can name their rules.
const RULES_VERSION: &str = "20261129000014";

/// Since this migration no prediction is void while another real source has both prices.
const ANY_SOURCE_VERSION: &str = "20261129000025";

/// The kept rules as a part of a query; made once an audit.
#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    rules: String,
    /// How long a market waits for its source, in seconds.
    patience: BTreeMap<Hash, i64>,
    /// Later positions name their rules; `None` before any were stored.
    named_since: Option<Timestamp>,
    /// A prediction settled later is void only if no source had both prices.
    any_source_since: Option<Timestamp>,
}

impl Verdicts {
    /// Rules with unreadable text are left out: positions that name them are reported.
    pub(super) async fn load(client: &Client) -> DbResult<Verdicts> {
        // One that nothing names, so that the list is never empty.
        let mut patience = BTreeMap::new();
        let mut rules =
            "('', 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint)".to_owned();
        let ask = "SELECT encode(digest, 'hex'), rules FROM economy_rules ORDER BY digest";
        for row in client.query(ask, &[]).await? {
            let (digest, text): (String, String) = (row.get(0), row.get(1));
            if let Ok(kept) = EconomyRules::from_canonical(&text) {
                // One absurd set must not keep all others from being audited.
                let kept = kept.within_calendar();
                let (lag, horizon) = (kept.sample_lag_seconds, kept.prediction_horizon_seconds);
                let (grace, factor) = (kept.sample_grace_seconds, kept.payout_factor);
                let in_time = kept.in_time_seconds();
                let wait = kept.sample_patience_seconds;
                let row =
                    format!("('{digest}', {lag}, {horizon}, {grace}, {in_time}, {wait}, {factor})");
                // Writing into a string does not fail.
                let _ = write!(rules, ", {row}");
                let waits = kept.markets.settle_patience_seconds;
                patience.extend(Hash::from_hex(&digest).map(|digest| (digest, waits)));
            }
        }
        // A clock that ran behind when the first service started is no reason to find fault with rows from before.
        let ask = "SELECT (SELECT (extract(epoch FROM greatest(min(first_used_at), \
                     (SELECT run_on AT TIME ZONE 'UTC' FROM public.__diesel_schema_migrations \
                       WHERE version = $2))) * 1000000)::bigint \
                     FROM economy_rules), \
                  (SELECT (extract(epoch FROM run_on) * 1000000)::bigint \
                     FROM public.__diesel_schema_migrations WHERE version = $1)";
        let row = client.query_one(ask, &[&ANY_SOURCE_VERSION, &RULES_VERSION]).await?;
        let since = |column: usize| {
            let micros: Option<i64> = row.get(column);
            let at = micros.and_then(Timestamp::from_micros);
            at.map(|at| at.plus_seconds(UPGRADE_SECONDS))
        };
        Ok(Verdicts { rules, patience, named_since: since(0), any_source_since: since(1) })
    }

    /// Later positions name the rules of their start. For one more day, positions written by an
    /// older build at the same time, and settled before any service started, may name none.
    pub(super) const fn named_since(&self) -> Option<Timestamp> {
        self.named_since
    }

    /// The patience of a market that names these rules; `None` where they are not known.
    pub(super) fn patience_of(&self, rules: Hash) -> Option<i64> {
        self.patience.get(&rules).copied()
    }

    /// A query of the predictions `p` that meet the condition, in order of bots and ids. `columns` may name
    /// `problem`: the expected value, or NULL.
    pub(super) fn query(&self, columns: &str, condition: &str) -> String {
        let rules = &self.rules;
        let since = |at: Option<Timestamp>| match at {
            Some(at) => format!("'{at}'::timestamptz"),
            None => "'infinity'::timestamptz".to_owned(),
        };
        let real: Vec<String> = PriceSource::ALL
            .into_iter()
            .filter(|source| source.is_real())
            .map(|source| format!("'{source}'"))
            .collect();
        format!(
            "WITH r AS MATERIALIZED (SELECT decode(hex, 'hex') AS digest, \
                    make_interval(secs => lag) AS lag, make_interval(secs => horizon) AS horizon, \
                    make_interval(secs => grace) AS grace, make_interval(secs => in_time) AS in_time, \
                    make_interval(secs => wait) AS wait, factor \
               FROM (VALUES {rules}) v (hex, lag, horizon, grace, in_time, wait, factor)) \
             SELECT {columns} \
               FROM predictions p \
               LEFT JOIN prices s ON s.id = p.start_price_id \
               LEFT JOIN prices e ON e.id = p.end_price_id \
               LEFT JOIN r ON r.digest = p.rules \
              CROSS JOIN LATERAL (SELECT {DUE}) d \
              CROSS JOIN LATERAL (SELECT {PROBLEM} AS problem) v \
              WHERE {condition} ORDER BY p.bot_id, p.id"
        )
        .replace("START_WAS_THERE", &not_the_first("s", "d.start_due", "x.id < s.id"))
        .replace(
            "END_WAS_THERE",
            &not_the_first("e", "d.end_surely_due", "(x.id < e.id OR x.sampled_at < d.long_before)"),
        )
        .replace("WRONG_SOURCE", WRONG_SOURCE)
        .replace("TOLD_ITS_END", TOLD_ITS_END)
        .replace("OTHER_WAS_THERE", OTHER_WAS_THERE)
        .replace("START_IN_TIME", START_IN_TIME)
        .replace("REAL_SOURCES", &real.join(", "))
        .replace("NAMED_SINCE", &since(self.named_since))
        .replace("ANY_SOURCE_SINCE", &since(self.any_source_since))
        .replace("MARGIN", &SETTLED_MARGIN_SECONDS.to_string())
    }
}

/// Whether a price `x` of the same source existed and should have been used instead of `used`: the
/// first sample taken in time takes precedence, then the first price of any kind, also from the
/// history.
fn not_the_first(used: &str, due: &str, there: &str) -> String {
    // Before rules were stored there was no history with a later one.
    let in_time = format!(
        "NOT {used}.history AND (r.in_time IS NULL OR {used}.provider_at <= {due} + r.in_time)"
    );
    format!(
        "EXISTS (SELECT FROM prices x WHERE x.source = {used}.source AND x.provider_at >= {due} \
            AND x.provider_at <= greatest({used}.provider_at, {due} + coalesce(r.in_time, '0')) \
            AND x.id <> {used}.id AND {there} \
            AND CASE WHEN {in_time} THEN NOT x.history AND x.provider_at < {used}.provider_at \
                     ELSE x.provider_at < {used}.provider_at \
                          OR NOT x.history AND x.provider_at <= {due} + r.in_time END)"
    )
}

/// When the samples were due, and what was kept long before the verdict. If the clock was set back,
/// a verdict has the time of its newest sample, so that earlier samples cannot be distinguished. A
/// row from before rules were stored has no lag, and its horizon ends at its `settles_at`: from its
/// start sample, or from its creation if it was settled before that was written.
const DUE: &str = "p.created_at + coalesce(r.lag, '0') AS start_due, \
    CASE WHEN r.digest IS NULL THEN p.settles_at ELSE s.provider_at + r.horizon END AS end_due, \
    CASE WHEN r.digest IS NULL THEN s.provider_at + (p.settles_at - p.created_at) \
         ELSE s.provider_at + r.horizon END AS end_surely_due, \
    CASE WHEN greatest(s.sampled_at, e.sampled_at) >= p.resolved_at THEN '-infinity' \
         ELSE p.resolved_at - make_interval(secs => MARGIN) END AS long_before";

/// A start sample that was taken in time: its source is the prediction's own.
const START_IN_TIME: &str = "NOT s.history AND s.provider_at <= d.start_due + r.in_time";

/// The first sample taken in time decides which source is the prediction's own. Another source may
/// replace it only if its own is real, the grace period has passed, and it has no end price.
const WRONG_SOURCE: &str = "EXISTS (SELECT FROM prices x WHERE NOT x.history AND x.source <> s.source \
            AND x.provider_at >= d.start_due AND x.provider_at <= d.start_due + r.in_time AND x.id < s.id \
            AND (NOT (START_IN_TIME) OR (x.provider_at, x.id) < (s.provider_at, s.id))) \
    AND NOT EXISTS (SELECT FROM prices x WHERE NOT x.history AND x.source <> s.source \
            AND x.source IN (REAL_SOURCES) \
            AND x.provider_at >= d.start_due AND x.provider_at <= d.start_due + r.in_time \
            AND p.resolved_at > x.provider_at + r.horizon + r.grace AND NOT TOLD_ITS_END \
            AND s.source IN (REAL_SOURCES) \
            AND NOT EXISTS (SELECT FROM prices z WHERE NOT z.history \
                AND z.provider_at >= d.start_due AND z.id < x.id \
                AND (z.provider_at, z.id) < (x.provider_at, x.id)))";

/// Whether the source of the start `x` had the due end price long before the settlement.
const TOLD_ITS_END: &str = "EXISTS (SELECT FROM prices y WHERE y.source = x.source \
            AND y.provider_at >= x.provider_at + r.horizon \
            AND y.provider_at <= x.provider_at + r.horizon + r.grace AND y.sampled_at < d.long_before \
            AND (NOT y.history AND y.provider_at <= x.provider_at + r.horizon + r.in_time \
                 OR EXISTS (SELECT FROM price_history_reads h WHERE h.source = x.source \
                        AND h.begins_at <= x.provider_at + r.horizon AND h.ends_at > y.provider_at \
                        AND h.read_at < d.long_before)))";

/// Whether another real source's first price of any kind, and the end after it, were there. A
/// prediction with a simulated source is judged only by that one.
const OTHER_WAS_THERE: &str = "EXISTS (SELECT FROM unnest(ARRAY[REAL_SOURCES]::price_source[]) a (source) \
           CROSS JOIN LATERAL (SELECT provider_at, sampled_at FROM prices \
                WHERE source = a.source AND provider_at >= d.start_due \
                  AND provider_at <= d.start_due + r.grace ORDER BY provider_at, id LIMIT 1) x \
           JOIN prices y ON y.source = a.source AND y.provider_at >= x.provider_at + r.horizon \
                AND y.provider_at <= x.provider_at + r.horizon + r.grace \
          WHERE a.source <> s.source AND (s.source IN (REAL_SOURCES) OR r.lag > '0' AND NOT (START_IN_TIME)) \
            AND x.sampled_at < d.long_before AND y.sampled_at < d.long_before)";

/// First the prediction's row, then its samples, then the result by the samples.
///
/// Before rules were kept, start and end could be of different sources, which was void. Positions
/// that were open at an upgrade have no lag, and got a start sample without a limit on its time; so
/// that limit is only checked if there is a lag.
const PROBLEM: &str = "CASE \
    WHEN p.rules IS NULL AND p.created_at > NAMED_SINCE THEN 'the digest of the rules it began under' \
    WHEN p.rules IS NOT NULL AND r.digest IS NULL THEN 'rules that are kept' \
    WHEN p.status = 'VOID' AND p.payout <> p.wager_amount THEN 'its stake back' \
    WHEN r.digest IS NULL AND p.status NOT IN ('WON', 'LOST') THEN NULL \
    WHEN s.price IS DISTINCT FROM p.start_price OR s.source IS DISTINCT FROM p.price_source \
        OR e.price IS DISTINCT FROM p.end_price \
        OR NOT coalesce(e.source = s.source AND e.provider_at > s.provider_at, e.id IS NULL) \
        THEN 'the prices of its samples' \
    WHEN p.status IN ('WON', 'LOST') AND NOT coalesce(s.price <> e.price \
            AND (p.status = 'WON') = ((p.direction = 'UP') = (e.price > s.price)), false) \
        THEN 'the verdict of its samples' \
    WHEN s.provider_at < d.start_due THEN 'a start sample at or after it was due' \
    WHEN e.provider_at < d.end_due THEN 'an end sample at or after it was due' \
    WHEN r.lag > '0' AND s.provider_at > d.start_due + r.grace OR e.provider_at > d.end_due + r.grace \
        THEN 'samples within the grace' \
    WHEN e.sampled_at > p.resolved_at THEN 'samples from before it was settled' \
    WHEN START_WAS_THERE THEN 'the first sample at or after the start was due' \
    WHEN END_WAS_THERE THEN 'the first sample at or after the end was due' \
    WHEN WRONG_SOURCE THEN 'samples of its own source' \
    WHEN p.status IN ('WON', 'LOST') \
        AND p.payout <> CASE p.status WHEN 'WON' THEN p.wager_amount * r.factor ELSE 0 END \
        THEN 'the payout of its rules' \
    WHEN p.status <> 'VOID' THEN NULL \
    WHEN e.id IS NOT NULL THEN CASE \
        WHEN s.price <> e.price THEN 'a verdict: both of its samples are there' END \
    WHEN p.resolved_at <= p.created_at + r.lag + r.horizon + r.wait THEN 'a wait for its samples' \
    WHEN s.id IS NULL AND EXISTS (SELECT FROM prices x \
          WHERE x.provider_at >= d.start_due AND x.provider_at <= d.start_due + r.grace \
            AND x.sampled_at < d.long_before) \
        THEN 'a verdict: its start sample was there' \
    WHEN s.id IS NOT NULL AND EXISTS (SELECT FROM prices x WHERE x.source = s.source \
            AND x.provider_at >= d.end_due AND x.provider_at <= d.end_due + r.grace \
            AND x.sampled_at < d.long_before) \
        THEN 'a verdict: its end sample was there' \
    WHEN p.resolved_at > ANY_SOURCE_SINCE AND OTHER_WAS_THERE \
        THEN 'a verdict: the samples of another source were there' \
    END";
