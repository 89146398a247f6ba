//! Markets for tests, with changes of their times.

use db::markets::{
    Deadline, Finding, Market, NewAnswer, NewBet, NewEvidence, NewMarket, Opener, Slip,
};
use ledger_core::criteria::Criteria;
use ledger_core::economy::Lookup;
use ledger_core::market::{MarketSource, Side};
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BotId, MarketId};
use uuid::Uuid;

use crate::Arena;

/// The answer to every research question that [`Arena::market`] opens.
pub const RIGHT_ANSWER: &str = "736";

impl Arena {
    /// Opens a market of this source with the default bounty and deadline, about something that no
    /// other market is about.
    pub async fn market(&self, source: MarketSource) -> Market {
        let rules = self.rules().markets.of(source);
        let new = NewMarket {
            bounty: rules.bounty,
            deadline: Deadline::In(rules.seconds),
            ..new_market(source)
        };
        db::markets::open(&mut *self.conn().await, &new, self.rules(), None).await.unwrap()
    }

    /// Moves a market's times, and those of its bets and evidence, so many seconds into the past.
    pub async fn age_market(&self, id: MarketId, seconds: i64) {
        let mut owner = self.owner_client().await;
        let transaction = owner.transaction().await.unwrap();
        // Triggers keep evidence, and what is settled, from being changed.
        transaction.batch_execute("SET LOCAL session_replication_role = replica").await.unwrap();
        for (table, column) in [("bets", "created_at"), ("evidence", "fetched_at")] {
            let older = format!(
                "UPDATE {table} SET {column} = {column} - make_interval(secs => $2::bigint) \
                  WHERE market_id = $1"
            );
            transaction.execute(&older, &[&id.0, &seconds]).await.unwrap();
        }
        let changed = transaction
            .execute(
                "UPDATE markets SET opens_at = opens_at - make_interval(secs => $2::bigint), \
                        bets_close_at = bets_close_at - make_interval(secs => $2::bigint), \
                        deadline = deadline - make_interval(secs => $2::bigint), \
                        next_try_at = next_try_at - make_interval(secs => $2::bigint) \
                  WHERE id = $1",
                &[&id.0, &seconds],
            )
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(changed, 1);
    }

    /// Lets a market's deadline pass: it is locked and waits for its evidence.
    pub async fn lock_market(&self, id: MarketId) {
        let market = db::markets::find(&mut *self.conn().await, id).await.unwrap();
        let left = market.deadline.seconds_since(self.now().await);
        self.age_market(id, left + 2).await;
        let locked = db::markets::lock_due(&mut *self.conn().await).await.unwrap();
        assert_eq!(locked, [id]);
    }

    /// Keeps evidence that decides a locked market.
    pub async fn decide(&self, id: MarketId, side: Side) {
        let fetch = evidence(self.now().await, Some(side));
        let recorded =
            db::markets::record(&mut *self.conn().await, id, &fetch, None).await.unwrap();
        assert_eq!(recorded, db::markets::Recorded::Decided);
    }

    /// Bets, through the function that the API uses.
    pub async fn bet(&self, bot_id: BotId, market: MarketId, side: Side, stake: &str) {
        let slip = slip(bot_id, vec![new_bet(market, side, stake)]);
        db::markets::place(&mut *self.conn().await, &slip, self.rules(), None).await.unwrap();
    }
}

/// A market that is to be opened, about something new.
pub fn new_market(source: MarketSource) -> NewMarket<'static> {
    let id = Uuid::new_v4();
    let word = &id.simple().to_string()[..12];
    let example = sources::of(source).example(word);
    let secret: Option<(Nonce, Answer)> =
        (source == MarketSource::Research).then(|| (Nonce([7; 32]), RIGHT_ANSWER.parse().unwrap()));
    NewMarket {
        id: MarketId(id),
        criteria: Criteria::deserialize(source, example).unwrap(),
        words: None,
        bounty: "5.00".parse().unwrap(),
        deadline: Deadline::In(3_600),
        secret,
        evidence: &[],
        opener: Opener::Maker,
    }
}

/// A fetch with a value, which may decide.
pub fn evidence(at: ledger_core::Timestamp, decides: Option<Side>) -> NewEvidence {
    NewEvidence {
        url: "http://127.0.0.1/data".to_owned(),
        fetched_at: at,
        status: Some(200),
        sha256: None,
        body: b"{}".to_vec(),
        truncated: false,
        finding: match decides {
            Some(side) => Finding::Read { value: "a reading".to_owned(), decides: Some(side) },
            None => Finding::Nothing { problem: "no answer in time".to_owned() },
        },
    }
}

pub fn new_bet(market_id: MarketId, side: Side, stake: &str) -> NewBet {
    NewBet {
        market_id,
        side,
        stake: ledger_core::EconomyRules::default().stake(stake.parse().unwrap()).unwrap(),
        confidence: "0.70".parse().unwrap(),
        reasoning: "a test".to_owned(),
    }
}

pub fn slip(bot_id: BotId, bets: Vec<NewBet>) -> Slip {
    Slip { bot_id, bets, usage: None }
}

/// An answer without a lookup.
pub fn new_answer(bot_id: BotId, market_id: MarketId, answer: &str) -> NewAnswer {
    NewAnswer {
        bot_id,
        market_id,
        answer: answer.parse().unwrap(),
        lookup: Lookup::NotUsed,
        confidence: "0.80".parse().unwrap(),
        reasoning: "a test".to_owned(),
        usage: None,
    }
}
