//! What each settled prediction should have come to, by the rules that it names and the samples that were
//! kept: set-based, so that a range of bots is one query.
//!
//! Samples may come late, and history may be read after a prediction was settled. So a sample is held
//! against those that were kept before it, and a missing one against those that were kept long before the
//! prediction was settled. What a history tells never comes before a sample that was taken in time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ledger_core::{EconomyRules, Hash};
use tokio_postgres::Client;

use crate::error::DbResult;

/// Longer than any transaction that keeps a sample may take: one that is older was there to be read.
const SETTLED_MARGIN_SECONDS: i64 = 60;

/// The kept rules as a part of a query; made once an audit.
#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    rules: String,
    /// How long a market waits for its source, in seconds.
    patience: BTreeMap<Hash, i64>,
}

impl Verdicts {
    /// Rules whose text cannot be read are left out: what names them is at fault.
    pub(super) async fn load(client: &Client) -> DbResult<Verdicts> {
        // One that nothing names, so that the list is never empty.
        let mut patience = BTreeMap::new();
        let mut rules =
            "('', 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint)".to_owned();
        let ask = "SELECT encode(digest, 'hex'), rules FROM economy_rules ORDER BY digest";
        for row in client.query(ask, &[]).await? {
            let (digest, text): (String, String) = (row.get(0), row.get(1));
            if let Ok(kept) = EconomyRules::from_canonical(&text) {
                let (lag, horizon) = (kept.sample_lag_seconds, kept.prediction_horizon_seconds);
                let (grace, factor) = (kept.sample_grace_seconds, kept.payout_factor);
                let in_time = kept.price_ttl_seconds.min(grace);
                let wait = kept.sample_patience_seconds;
                let row =
                    format!("('{digest}', {lag}, {horizon}, {grace}, {in_time}, {wait}, {factor})");
                // Writing into a string does not fail.
                let _ = write!(rules, ", {row}");
                let waits = kept.markets.settle_patience_seconds;
                patience.extend(Hash::from_hex(&digest).map(|digest| (digest, waits)));
            }
        }
        Ok(Verdicts { rules, patience })
    }

    /// The patience of a market that names these rules; `None` where they are not known.
    pub(super) fn patience_of(&self, rules: &[u8]) -> Option<i64> {
        self.patience.get(&Hash::from_slice(rules)?).copied()
    }

    /// A query of the predictions `p` that meet the condition, in order of bots and ids. `columns` may name
    /// `problem`: what should have been, or NULL.
    pub(super) fn query(&self, columns: &str, condition: &str) -> String {
        let rules = &self.rules;
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
        .replace("MARGIN", &SETTLED_MARGIN_SECONDS.to_string())
    }
}

/// Whether a price `x` of the same source was there and should have been used in the place of `used`: the
/// first sample that was taken in time comes first, then the first price of any kind, which history may have
/// told.
fn not_the_first(used: &str, due: &str, there: &str) -> String {
    // Before rules were kept there was no history to tell a later one.
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

/// When the samples were due. A row from before rules were kept had no lag, and its horizon is that of its
/// `settles_at`: from its start sample, or from its creation where it was settled before that was written.
const DUE: &str = "p.created_at + coalesce(r.lag, '0') AS start_due, \
    CASE WHEN r.digest IS NULL THEN p.settles_at ELSE s.provider_at + r.horizon END AS end_due, \
    CASE WHEN r.digest IS NULL THEN s.provider_at + (p.settles_at - p.created_at) \
         ELSE s.provider_at + r.horizon END AS end_surely_due, \
    p.resolved_at - make_interval(secs => MARGIN) AS long_before";

/// Positions that an upgrade found open have no lag, and a start sample that was given them without a
/// bound on its time; so that bound is only held where there is a lag.
const PROBLEM: &str = "CASE \
    WHEN p.status IN ('OPEN', 'FORFEIT') THEN NULL \
    WHEN p.rules IS NOT NULL AND r.digest IS NULL THEN 'rules that are kept' \
    WHEN p.status IN ('WON', 'LOST') THEN CASE \
        WHEN NOT coalesce(s.price = p.start_price AND e.price = p.end_price AND s.price <> e.price \
            AND s.source = e.source AND s.source = p.price_source AND e.provider_at > s.provider_at \
            AND (p.status = 'WON') = ((p.direction = 'UP') = (e.price > s.price)), false) \
            THEN 'the verdict of its samples' \
        WHEN s.provider_at < d.start_due THEN 'a start sample at or after it was due' \
        WHEN e.provider_at < d.end_due THEN 'an end sample at or after it was due' \
        WHEN r.lag > '0' AND s.provider_at > d.start_due + r.grace OR e.provider_at > d.end_due + r.grace \
            THEN 'samples within the grace' \
        WHEN e.sampled_at > p.resolved_at THEN 'samples from before it was settled' \
        WHEN START_WAS_THERE THEN 'the first sample at or after the start was due' \
        WHEN END_WAS_THERE THEN 'the first sample at or after the end was due' \
        WHEN p.payout <> CASE p.status WHEN 'WON' THEN p.wager_amount * r.factor ELSE 0 END \
            THEN 'the payout of its rules' END \
    ELSE CASE \
        WHEN p.payout <> p.wager_amount THEN 'its stake back' \
        WHEN s.price = e.price THEN NULL \
        WHEN r.digest IS NULL THEN NULL \
        WHEN e.id IS NOT NULL THEN 'a verdict: both of its samples are there' \
        WHEN p.resolved_at <= p.created_at + r.lag + r.horizon + r.wait THEN 'a wait for its samples' \
        WHEN s.id IS NULL AND EXISTS (SELECT FROM prices x \
              WHERE x.provider_at >= d.start_due AND x.provider_at <= d.start_due + r.grace \
                AND x.sampled_at < d.long_before) \
            THEN 'a verdict: its start sample was there' \
        WHEN s.id IS NOT NULL AND EXISTS (SELECT FROM prices x WHERE x.source = s.source \
                AND x.provider_at >= d.end_due AND x.provider_at <= d.end_due + r.grace \
                AND x.sampled_at < d.long_before) \
            THEN 'a verdict: its end sample was there' END \
    END";
