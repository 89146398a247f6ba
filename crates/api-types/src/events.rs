//! Live events, the same on `GET /events` (Server-Sent Events) and on `GET /ws/stream` (WebSocket).

pub use ledger_core::event::{MarketEvent as MarketEventData, TickEvent as TickEventData};
use ledger_core::post::PostKind;
use ledger_core::prediction::{Direction, PredictionStatus};
use ledger_core::{BotId, BotStatus, Decimal8, EventKind, Money, Pause, PredictionId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LedgerEntry, PriceSample};

/// The header that resumes a stream of Server-Sent Events.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";

/// Why the server closed a WebSocket: codes in addition to those of RFC 6455.
pub mod close_code {
    /// There was no credential, or no valid one. Sent by servers that want one.
    pub const UNAUTHORIZED: u16 = 4001;
    /// `since` or `kinds` cannot be read, or `since` is no position of this arena.
    pub const INVALID: u16 = 4002;
    /// The events after `since` are no longer kept: read the lists, and start without it.
    pub const POSITION_GONE: u16 = 4003;
    /// The reader fell behind, or the server is overloaded: reconnect with `since`.
    pub const TRY_AGAIN: u16 = 1013;
    /// The server stops: reconnect with `since`.
    pub const GOING_AWAY: u16 = 1001;
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// The position to resume from, as `Last-Event-ID` or `since`. Opaque.
    pub id: String,
    pub kind: EventKind,
    /// When it was written, which is just before it was committed.
    pub at: Timestamp,
    /// See [`EventData`] for its fields. Readers must ignore unknown fields.
    pub data: Value,
}

impl Event {
    /// What happened, by its kind.
    ///
    /// # Errors
    /// When `data` lacks a field, which a server of this version never sends.
    pub fn read(&self) -> Result<EventData, serde_json::Error> {
        let data = &self.data;
        Ok(match self.kind {
            EventKind::Entry => EventData::Entry(LedgerEntry::deserialize(data)?),
            EventKind::Post => EventData::Post(PostEventData::deserialize(data)?),
            EventKind::Prediction => EventData::Prediction(PredictionEventData::deserialize(data)?),
            EventKind::Market => EventData::Market(MarketEventData::deserialize(data)?),
            EventKind::Tick => EventData::Tick(TickEventData::deserialize(data)?),
            EventKind::Price => EventData::Price(PriceSample::deserialize(data)?),
            EventKind::Bot => EventData::Bot(BotEventData::deserialize(data)?),
        })
    }
}

/// The `data` of each kind of event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventData {
    /// With all fields of its hash. The bot's `handle` is next to it.
    Entry(LedgerEntry),
    Post(PostEventData),
    Prediction(PredictionEventData),
    Market(MarketEventData),
    Tick(TickEventData),
    Price(PriceSample),
    Bot(BotEventData),
}

/// A post, as `GET /posts/feed` has it, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PostEventData {
    /// Whose it is.
    pub bot_id: BotId,
    /// The bot's.
    pub handle: String,
    /// What happened.
    pub kind: PostKind,
    /// One line, at most 280 characters.
    pub content: String,
    /// What caused it.
    pub reference: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A price prediction that was made (`OPEN`) or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PredictionEventData {
    /// Which one.
    pub id: PredictionId,
    /// Whose it is.
    pub bot_id: BotId,
    /// The bot's.
    pub handle: String,
    /// The predicted direction of the price.
    pub direction: Direction,
    /// The stake.
    pub wager_amount: Money,
    /// The probability that was given to it.
    pub confidence: Decimal8,
    /// How it stands now.
    pub status: PredictionStatus,
    /// Of an open one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settles_at: Option<Timestamp>,
    /// The price it was settled from, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_price: Option<Money>,
    /// The price it was settled by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_price: Option<Money>,
    /// The payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout: Option<Money>,
    /// The Brier score: 0 is perfect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brier: Option<Decimal8>,
}

/// A bot that was registered, whose status changed, or that an operator paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BotEventData {
    /// Whose it is.
    pub bot_id: BotId,
    /// The bot's.
    pub handle: String,
    /// How it stands now.
    pub status: BotStatus,
    /// The operator's pause, with its reason and time.
    #[serde(default)]
    pub paused: Option<Pause>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ledger_core::event::{
        BotEvent, EntryEvent, LookedUp, MarketEvent, NewEvent, PostEvent, PredictionEnded,
        PredictionOpened, PriceEvent, Sealed, TickEvent,
    };
    use ledger_core::ids::PriceId;
    use ledger_core::market::{MarketSource, MarketStatus};
    use ledger_core::money::Price;
    use ledger_core::prediction::PriceSource;
    use ledger_core::{Enforcement, EntryType, Hash, MarketId, Reference, TickNumber};

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[allow(clippy::too_many_lines, reason = "one of each")]
    fn one_of_each() -> Vec<NewEvent> {
        let at = Timestamp::from_micros(1_790_000_000_000_000).unwrap();
        let (bot_id, id) = (BotId(7), PredictionId(12));
        let confidence = "0.6".parse().unwrap();
        let pause = Pause { since: at, reason: "a look".to_owned() };
        let paused = |paused| NewEvent::Bot(BotEvent { bot_id, status: BotStatus::Alive, paused });
        vec![
            NewEvent::Entry(EntryEvent {
                bot_id,
                sequence: 3,
                entry_type: EntryType::Wager,
                amount: money("-5"),
                balance_after: money("995"),
                reference: Reference::new("OBS:1").unwrap(),
                recorded_at: at,
                hash: Hash::ZERO,
            }),
            NewEvent::Post(PostEvent {
                bot_id,
                kind: PostKind::Wager,
                content: "Wagers".to_owned(),
                reference: "OBS:1".to_owned(),
                created_at: at,
            }),
            NewEvent::PredictionOpened(PredictionOpened {
                id,
                bot_id,
                direction: Direction::Up,
                wager_amount: money("5"),
                confidence,
                status: PredictionStatus::Open,
                settles_at: at,
            }),
            NewEvent::PredictionEnded(PredictionEnded {
                id,
                bot_id,
                direction: Direction::Up,
                wager_amount: money("5"),
                confidence,
                start_price: None,
                end_price: Some(Price::new(money("60000")).unwrap()),
                status: PredictionStatus::Won,
                payout: money("10"),
                brier: Some("0.16".parse().unwrap()),
            }),
            NewEvent::Market(MarketEvent {
                id: MarketId(uuid::Uuid::nil()),
                source: MarketSource::Weather,
                description: "Will it?".to_owned(),
                status: MarketStatus::Open,
                outcome: None,
                bounty: money("5"),
                pool: money("15"),
                bets: 2,
                bets_close_at: at,
                deadline: at,
                void_reason: None,
                paused: Some(pause.clone()),
            }),
            NewEvent::Tick(TickEvent {
                tick: TickNumber(9),
                mode: Enforcement::Observe,
                bots: 3,
                fees: "1.50000000".to_owned(),
                liquidated: 0,
                failed: 0,
            }),
            NewEvent::Price(PriceEvent {
                id: PriceId(4),
                price: Price::new(money("60000")).unwrap(),
                source: PriceSource::Simulated,
                provider_at: at,
                sampled_at: at,
            }),
            paused(None),
            paused(Some(None)),
            paused(Some(Some(pause))),
        ]
    }

    /// The documented fields are those that are written: the reader's type has each field of the
    /// writer's type, with the same name.
    #[test]
    fn each_kind_of_event_reads_as_it_was_written() {
        let mut kinds = std::collections::BTreeSet::new();
        for written in one_of_each() {
            kinds.insert(written.kind().as_str());
            let mut data = serde_json::to_value(&written).unwrap();
            let added = serde_json::to_value(LookedUp {
                handle: Some("mia".to_owned()),
                sealed: Some(Sealed { recorded_at_us: 1, previous_hash: Hash::ZERO }),
            })
            .unwrap();
            for (field, value) in added.as_object().unwrap() {
                data[field] = value.clone();
            }
            let event = Event {
                id: "1-1".to_owned(),
                kind: written.kind(),
                at: Timestamp::from_micros(0).unwrap(),
                data: data.clone(),
            };
            let known = match event.read().unwrap() {
                EventData::Entry(it) => serde_json::to_value(it),
                EventData::Post(it) => serde_json::to_value(it),
                EventData::Prediction(it) => serde_json::to_value(it),
                EventData::Market(it) => serde_json::to_value(it),
                EventData::Tick(it) => serde_json::to_value(it),
                EventData::Price(it) => serde_json::to_value(it),
                EventData::Bot(it) => serde_json::to_value(it),
            }
            .unwrap();
            for (field, value) in data.as_object().unwrap() {
                let is_added = added.get(field).is_some();
                assert!(
                    is_added || value.is_null() || known.get(field) == Some(value),
                    "{written:?}: {field} is not read as it was written: {known}"
                );
            }
        }
        assert_eq!(kinds.len(), EventKind::ALL.len());
    }
}
