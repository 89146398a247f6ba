// The tables and columns that queries name. `UPDATE_SCHEMA=1 make test` takes their types and keys from the
// migrated database: of a new one, write the name.

pub mod sql_types {
    pub use crate::sql::enums::*;
    pub use crate::sql::{Instant, MetricKind, RulesDigest, Units};
    pub use diesel::sql_types::*;
}

/// Each table with the types in scope, and all of them in one query.
macro_rules! tables {
    ($($table:ident ($($key:ident),+) { $($columns:tt)* })+) => {
        $(diesel::table! {
            use super::sql_types::*;
            $table ($($key),+) { $($columns)* }
        })+
        diesel::allow_tables_to_appear_in_same_query!($($table),+);
    };
}

tables! {
    agent_metrics (tick, bot_id) {
        recorded_at -> Instant,
        tick -> Int8,
        bot_id -> Int8,
        kind -> MetricKind,
        enforcement -> Enforcement,
        balance -> Units,
        shadow_balance -> Units,
        idle_streak -> Int4,
        action_id -> Nullable<Int8>,
        provider -> Nullable<Text>,
        model -> Nullable<Text>,
        llm_calls -> Nullable<Int4>,
        input_tokens -> Nullable<Int8>,
        output_tokens -> Nullable<Int8>,
        cached_input_tokens -> Nullable<Int8>,
        reasoning_tokens -> Nullable<Int8>,
        cost_usd -> Nullable<Units>,
        priced_usd -> Nullable<Units>,
        unreported_calls -> Nullable<Int4>,
    }

    arena_identity (id) {
        id -> Uuid,
    }

    arena_pause (single) {
        single -> Bool,
        paused_at -> Instant,
        reason -> Text,
    }

    audit_log (id) {
        id -> Int8,
        at -> Instant,
        actor -> Text,
        action -> Text,
        bot_id -> Nullable<Int8>,
        observation_id -> Nullable<Uuid>,
        detail -> Jsonb,
    }

    bets (id) {
        id -> Int8,
        market_id -> Uuid,
        bot_id -> Int8,
        side -> Nullable<BetSide>,
        answer -> Nullable<Text>,
        used_lookup -> Nullable<Bool>,
        tick -> Nullable<Int8>,
        stake -> Units,
        confidence -> Units,
        reasoning -> Text,
        state -> BetState,
        created_at -> Instant,
        resolved_at -> Nullable<Instant>,
        payout -> Nullable<Units>,
        minted -> Nullable<Units>,
        burned -> Nullable<Units>,
        brier -> Nullable<Units>,
        rules -> Nullable<RulesDigest>,
    }

    bot_schedules (bot_id) {
        bot_id -> Int8,
        next_turn_at -> Instant,
    }

    bots (id) {
        id -> Int8,
        handle -> Text,
        status -> BotStatus,
        persona -> Text,
        hosted -> Bool,
        api_key_hash -> Text,
        api_secret_sha256 -> Bytea,
        created_at -> Instant,
        credential_version -> Int8,
    }

    economy_rules (digest) {
        digest -> Bytea,
        rules -> Text,
        first_used_at -> Instant,
    }

    evidence (id) {
        id -> Int8,
        market_id -> Uuid,
        url -> Text,
        fetched_at -> Instant,
        status -> Nullable<Int4>,
        sha256 -> Nullable<Bytea>,
        body -> Bytea,
        truncated -> Bool,
        value -> Nullable<Text>,
        problem -> Nullable<Text>,
        side -> Nullable<BetSide>,
    }

    idempotency_keys (key_sha256) {
        key_sha256 -> Bytea,
        body_sha256 -> Bytea,
        status -> Int2,
        answer -> Bytea,
        expires_at -> Instant,
        bot_id -> Nullable<Int8>,
        credential_version -> Nullable<Int8>,
    }

    ledger (bot_id, sequence) {
        bot_id -> Int8,
        sequence -> Int8,
        entry_type -> EntryType,
        amount -> Units,
        balance_after -> Units,
        reference -> Text,
        recorded_at -> Instant,
        previous_hash -> Bytea,
        hash -> Bytea,
    }

    market_sources (label) {
        label -> Text,
    }

    markets (id) {
        id -> Uuid,
        number -> Int8,
        source -> Text,
        subject -> Text,
        description -> Text,
        criteria -> Jsonb,
        status -> MarketStatus,
        bounty -> Units,
        bets -> Int8,
        staked -> Units,
        opens_at -> Instant,
        bets_close_at -> Instant,
        deadline -> Instant,
        resolved_at -> Nullable<Instant>,
        outcome -> Nullable<Text>,
        paid -> Bool,
        void_reason -> Nullable<Text>,
        commitment -> Nullable<Bytea>,
        nonce -> Nullable<Bytea>,
        answer -> Nullable<Text>,
        attempts -> Int4,
        next_try_at -> Instant,
        paused_at -> Nullable<Instant>,
        pause_reason -> Nullable<Text>,
        rules -> Nullable<RulesDigest>,
    }

    oracle_rounds (singleton) {
        singleton -> Bool,
        number -> Int8,
        settled_at -> Nullable<Instant>,
    }

    posts (id) {
        id -> Int8,
        bot_id -> Int8,
        kind -> PostKind,
        content -> Text,
        reference -> Text,
        created_at -> Instant,
    }

    predictions (id) {
        id -> Int8,
        bot_id -> Int8,
        direction -> Direction,
        wager_amount -> Units,
        confidence -> Units,
        reasoning -> Text,
        status -> PredictionStatus,
        created_at -> Instant,
        settles_at -> Instant,
        start_price_id -> Nullable<Int8>,
        start_price -> Nullable<Units>,
        price_source -> Nullable<PriceSource>,
        end_price -> Nullable<Units>,
        payout -> Nullable<Units>,
        brier -> Nullable<Units>,
        resolved_at -> Nullable<Instant>,
        rules -> Nullable<RulesDigest>,
        reserved -> Units,
    }

    price_history_reads (id) {
        id -> Int8,
        source -> PriceSource,
        begins_at -> Instant,
        ends_at -> Instant,
        points -> Int4,
    }

    prices (id) {
        id -> Int8,
        source -> PriceSource,
        price -> Units,
        provider_at -> Instant,
        sampled_at -> Instant,
        history -> Bool,
    }

    source_cooldowns (source) {
        source -> Text,
        strikes -> Int4,
        until -> Instant,
    }

    ticks (number) {
        number -> Int8,
        enforcement -> Enforcement,
        started_at -> Instant,
        closed_at -> Nullable<Instant>,
        bots -> Int8,
        liquidated -> Int8,
        failed -> Int8,
        rules -> Nullable<RulesDigest>,
    }

    wallets (bot_id) {
        bot_id -> Int8,
        status -> BotStatus,
        balance -> Units,
        sequence -> Int8,
        idle_streak -> Int4,
        productive -> Bool,
        open_predictions -> Int4,
        open_bets -> Int4,
        granted -> Units,
        last_tick -> Int8,
        last_action_at -> Nullable<Instant>,
        paused_at -> Nullable<Instant>,
        pause_reason -> Nullable<Text>,
    }
}
