//! Queries of lists. All fields are optional; an empty query requests the newest page.

use ledger_core::market::{MarketSource, MarketStatus};
use ledger_core::prediction::PredictionStatus;
use ledger_core::{BotId, BotStatus, EventKind};

/// Pairs for a URL's query.
pub(crate) type Pairs = Vec<(&'static str, String)>;

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// From 1 to 200.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The newest `limit` items.
    pub const fn newest(limit: u32) -> PageQuery {
        PageQuery { limit: Some(limit), cursor: None }
    }

    pub(crate) fn pairs(&self) -> Pairs {
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        limit.into_iter().chain(cursor).collect()
    }
}

/// `GET /predictions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PredictionQuery {
    /// Of this bot alone.
    pub bot: Option<BotId>,
    /// In this state alone.
    pub status: Option<PredictionStatus>,
    /// Which page.
    pub page: PageQuery,
}

impl PredictionQuery {
    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = self.page.pairs();
        pairs.extend(self.bot.map(|bot| ("bot", bot.to_string())));
        pairs.extend(self.status.map(|status| ("status", status.to_string())));
        pairs
    }
}

/// `GET /standings`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingsQuery {
    /// Ranks those of one status among themselves.
    pub status: Option<BotStatus>,
    /// Which page.
    pub page: PageQuery,
}

impl StandingsQuery {
    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = self.page.pairs();
        pairs.extend(self.status.map(|status| ("status", status.to_string())));
        pairs
    }
}

/// `GET /events`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only these kinds; none means all of them.
    pub kinds: Vec<EventKind>,
    /// Events after this position, which is [`Events::position`](crate::Events::position) or the `id` of an
    /// event; without it, events from now on.
    pub since: Option<String>,
}

impl EventQuery {
    /// Without the position, which goes into a header.
    pub(crate) fn pairs(&self) -> Pairs {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = (!kinds.is_empty()).then(|| ("kinds", kinds.join(",")));
        kinds.into_iter().collect()
    }
}

/// `GET /markets`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketQuery {
    /// In this state alone.
    pub status: Option<MarketStatus>,
    /// Of this kind alone.
    pub source: Option<MarketSource>,
    /// Only those that take a bet or an answer at this moment.
    pub taking_bets: bool,
    /// Which page.
    pub page: PageQuery,
}

impl MarketQuery {
    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = self.page.pairs();
        pairs.extend(self.status.map(|status| ("status", status.to_string())));
        pairs.extend(self.source.map(|source| ("source", source.to_string())));
        pairs.extend(self.taking_bets.then(|| ("taking_bets", true.to_string())));
        pairs
    }
}
