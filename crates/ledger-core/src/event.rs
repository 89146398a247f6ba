//! Live events: what happened in the arena, sent to listeners.

use serde::{Deserialize, Serialize};

use crate::confidence::Confidence;
use crate::decimal::Decimal8;
use crate::entry::{Entry, Hash, Reference};
use crate::entry_types::EntryType;
use crate::ids::{BotId, MarketId, PredictionId, PriceId, TickNumber};
use crate::market::MarketStatus;
use crate::money::{Money, Price};
use crate::pause::Pause;
use crate::post::PostKind;
use crate::prediction::{Direction, PredictionStatus, PriceSource};
use crate::rules::Enforcement;
use crate::sources::MarketSource;
use crate::time::Timestamp;
use crate::wallet::BotStatus;

labelled! {
    EventKind {
        /// An entry of a bot's ledger. Entropy charges are told once a tick, as [`EventKind::Tick`].
        Entry = "entry",
        Post = "post",
        /// A price prediction was made, or has ended.
        Prediction = "prediction",
        /// A market was opened, got a bet, was locked, or has ended.
        Market = "market",
        /// A tick reached every living bot.
        Tick = "tick",
        /// The oracle kept a price.
        Price = "price",
        /// A bot was registered, or its status changed.
        Bot = "bot",
    }
}

/// An event with its stored data. Readers also get the bot's handle, and for an entry the other
/// fields that its hash covers: these never change, and are looked up on reading.
///
/// The order of fields is no part of it: events are kept as `jsonb`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NewEvent {
    Entry(EntryEvent),
    Post(PostEvent),
    PredictionOpened(PredictionOpened),
    PredictionEnded(PredictionEnded),
    Market(MarketEvent),
    Tick(TickEvent),
    Price(PriceEvent),
    Bot(BotEvent),
}

impl NewEvent {
    pub const fn kind(&self) -> EventKind {
        match self {
            NewEvent::Entry(_) => EventKind::Entry,
            NewEvent::Post(_) => EventKind::Post,
            NewEvent::PredictionOpened(_) | NewEvent::PredictionEnded(_) => EventKind::Prediction,
            NewEvent::Market(_) => EventKind::Market,
            NewEvent::Tick(_) => EventKind::Tick,
            NewEvent::Price(_) => EventKind::Price,
            NewEvent::Bot(_) => EventKind::Bot,
        }
    }
}

/// Fields that are looked up when an event is read, and sent together with its stored fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LookedUp {
    /// The handle of the event's bot, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    #[serde(flatten)]
    pub sealed: Option<Sealed>,
}

/// The other fields that the hash of an entry covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sealed {
    pub recorded_at_us: i64,
    pub previous_hash: Hash,
}

/// An entry of a bot's chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryEvent {
    pub bot_id: BotId,
    pub sequence: i64,
    pub entry_type: EntryType,
    pub amount: Money,
    pub balance_after: Money,
    pub reference: Reference,
    pub recorded_at: Timestamp,
    pub hash: Hash,
}

impl From<&Entry> for EntryEvent {
    fn from(entry: &Entry) -> EntryEvent {
        EntryEvent {
            bot_id: entry.bot_id,
            sequence: entry.sequence,
            entry_type: entry.entry_type,
            amount: entry.amount,
            balance_after: entry.balance_after,
            reference: entry.reference.clone(),
            recorded_at: entry.recorded_at,
            hash: entry.hash,
        }
    }
}

/// A post.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PostEvent {
    pub bot_id: BotId,
    pub kind: PostKind,
    pub content: String,
    pub reference: String,
    pub created_at: Timestamp,
}

/// A price prediction that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionOpened {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub direction: Direction,
    pub wager_amount: Money,
    pub confidence: Confidence,
    pub status: PredictionStatus,
    /// An estimate, until its start price is known.
    pub settles_at: Timestamp,
}

/// A price prediction that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionEnded {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub direction: Direction,
    pub wager_amount: Money,
    pub confidence: Confidence,
    pub start_price: Option<Price>,
    pub end_price: Option<Price>,
    pub status: PredictionStatus,
    pub payout: Money,
    pub brier: Option<Decimal8>,
}

/// A market's state after it was opened, got a bet, was locked, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MarketEventData))]
pub struct MarketEvent {
    /// Which one.
    pub id: MarketId,
    /// Where the data comes from.
    pub source: MarketSource,
    /// The question.
    pub description: String,
    /// How it stands now.
    pub status: MarketStatus,
    /// `YES`, `NO`, or the answer of a research question.
    pub outcome: Option<String>,
    /// The amount that the house adds to the pool.
    pub bounty: Money,
    /// Everything staked, and the bounty.
    pub pool: Money,
    /// How many bets or answers there are.
    pub bets: i64,
    /// When the last bet is taken.
    pub bets_close_at: Timestamp,
    /// When the data decides.
    pub deadline: Timestamp,
    /// Why it is void, where it is.
    pub void_reason: Option<String>,
    /// The operator's pause, with its reason and time.
    #[serde(default)]
    pub paused: Option<Pause>,
}

/// A tick that reached every living bot: all its entropy charges in one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TickEventData))]
pub struct TickEvent {
    /// The tick's number.
    pub tick: TickNumber,
    /// Whether fees were charged.
    pub mode: Enforcement,
    /// Bots that it reached.
    pub bots: i64,
    // A decimal: it may exceed one balance.
    /// The sum of their fees; in observe mode of their phantom fees.
    pub fees: String,
    /// Bots that it ended.
    pub liquidated: i64,
    /// Bots that it had to pass over.
    pub failed: i64,
}

/// A price that the oracle kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PriceEvent {
    pub id: PriceId,
    pub price: Price,
    pub source: PriceSource,
    pub provider_at: Timestamp,
    pub sampled_at: Timestamp,
}

/// A bot that was registered, whose status changed, or that an operator paused or resumed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BotEvent {
    pub bot_id: BotId,
    pub status: BotStatus,
    /// Told by a pause or its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Option<Pause>>,
}
