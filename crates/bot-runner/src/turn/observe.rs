//! The bot's input for the model, and its possible actions: no call is paid without a possible action.

use arena_client::api_types::{Market, ProblemKind};
use arena_client::{ClientError, MarketQuery, PageQuery};
use ledger_core::market::{MarketSource, MarketStatus};
use ledger_core::{BotId, BotStatus, Timestamp};
use tracing::warn;

use super::{HostedBot, Loss, Outcome, limits, purse, standing, terms};
use crate::decision;
use crate::prompt::{MARKETS_MAX, PRICES_MAX, Scene};

/// Open markets that are read, newest first.
const MARKETS_READ: u32 = 50;
/// Answers to a question that are looked through for the bot's own, in pages.
const ANSWERS_PAGE: u32 = 200;
const ANSWER_PAGES_MAX: u32 = 3;
/// The most research questions that are checked for an answer of the bot.
const QUESTIONS_MAX: usize = 4;
/// Markets that close sooner would close during the model call.
const CLOSING_MARGIN_SECONDS: i64 = 30;

impl HostedBot {
    /// Reads the arena; `Err` when there is nothing to think about.
    pub(super) async fn observe(&self, due_at: Timestamp) -> Result<Scene, Outcome> {
        let newest = PageQuery::newest(u32::try_from(PRICES_MAX).unwrap_or(1));
        let open = MarketQuery {
            taking_bets: true,
            page: PageQuery::newest(MARKETS_READ),
            ..MarketQuery::default()
        };
        let (me, economy, prices, markets) = tokio::join!(
            self.arena.me(),
            self.arena.economy(),
            self.arena.prices(&newest),
            self.arena.markets(&open),
        );
        let me = match me {
            Ok(me) => me,
            Err(error) if error.status() == Some(401) => return Err(Outcome::KeyRefused),
            Err(error) if error.kind() == Some(ProblemKind::BotNotAlive) => {
                return Err(Outcome::NotAlive(BotStatus::Dead));
            }
            Err(error) => return Err(error.into()),
        };
        if me.bot.status != BotStatus::Alive {
            return Err(Outcome::NotAlive(me.bot.status));
        }
        // An earlier runner of this turn has acted in it, and the answer was lost. Another kind of
        // action under the same key would be performed.
        if me.bot.last_action_at.is_some_and(|at| at >= due_at) {
            return Err(Loss::ActedBefore.into());
        }
        let economy = economy?;
        // Before the model call: an answer would be refused.
        if let Some(pause) = me.bot.paused.as_ref().or(economy.paused.as_ref()) {
            return Err(Loss::Paused(pause.reason.clone()).into());
        }
        // Prices from a history are of the past, however recently they were read.
        let mut prices = prices?.items;
        prices.retain(|price| !price.from_history);
        let scene = Scene { me, economy, prices, room: None, question: None, markets: Vec::new() };
        // Wagers do not need them.
        let markets = markets.map_or_else(|error| self.without_markets(&error), |page| page.items);
        self.fill(scene, markets).await
    }

    fn without_markets(&self, error: &ClientError) -> Vec<Market> {
        warn!(bot = %self.persona.handle, %error, "markets cannot be read");
        Vec::new()
    }

    /// Adds the possible actions to the scene.
    async fn fill(&self, mut scene: Scene, open: Vec<Market>) -> Result<Scene, Outcome> {
        let (questions, markets): (Vec<Market>, Vec<Market>) = open
            .into_iter()
            .filter(|market| is_open(market, scene.economy.as_of))
            .partition(|market| market.source == MarketSource::Research);
        if purse(&scene).is_open() {
            scene.markets = unbet(markets, &scene);
        }
        if terms(&scene).afford_answer() {
            scene.question = self.unanswered(questions, scene.me.bot.id).await;
        }
        let has_price = scene.economy.price.is_some() && !scene.prices.is_empty();
        let room = decision::room(&standing(&scene), &limits(&scene, &self.persona));
        if has_price {
            scene.room = room.ok();
        }
        match room {
            _ if scene.options().is_any() => Ok(scene),
            _ if !has_price => Err(Loss::Halted.into()),
            Err(why) => Err(Loss::NoRoom(why).into()),
            Ok(_) => Err(Loss::Halted.into()),
        }
    }

    /// The question with the largest bounty that the bot has not answered.
    async fn unanswered(&self, mut questions: Vec<Market>, me: BotId) -> Option<Market> {
        questions.sort_by_key(|question| std::cmp::Reverse((question.bounty, question.deadline)));
        for question in questions.into_iter().take(QUESTIONS_MAX) {
            match self.has_answered(&question, me).await {
                Ok(false) => return Some(question),
                Ok(true) => {}
                Err(error) => {
                    warn!(bot = %self.persona.handle, %error, "answers cannot be read");
                    return None;
                }
            }
        }
        None
    }

    async fn has_answered(&self, question: &Market, me: BotId) -> Result<bool, ClientError> {
        if question.bets == 0 {
            return Ok(false);
        }
        let mut page = PageQuery::newest(ANSWERS_PAGE);
        for _ in 0..ANSWER_PAGES_MAX {
            let answers = self.arena.market_bets(question.id, &page).await?;
            if answers.items.iter().any(|answer| answer.bot_id == me) {
                return Ok(true);
            }
            match answers.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(false),
            }
        }
        // If the answer is even older, the arena refuses.
        Ok(false)
    }
}

/// Whether the market still takes bets or answers when the bot has thought, by the arena's clock.
fn is_open(market: &Market, now: Timestamp) -> bool {
    market.status == MarketStatus::Open
        && market.bets_close_at > now.plus_seconds(CLOSING_MARGIN_SECONDS)
}

/// Those on which the bot has no bet and whose pools are not full.
fn unbet(markets: Vec<Market>, scene: &Scene) -> Vec<Market> {
    let parameters = &scene.economy.parameters;
    let takes = |market: &Market| {
        let is_new = scene.me.open_bets.iter().all(|bet| bet.market_id != market.id);
        let room = parameters.markets.pool_max.checked_sub(market.pool);
        is_new && room.is_some_and(|room| room >= parameters.stake_min)
    };
    markets.into_iter().filter(takes).take(MARKETS_MAX).collect()
}
