//! The driver: moves the clock, and runs the work that is due at each instant.
//!
//! One step after the other, over one pooled connection: each step sees the result of the one before, in every
//! run. The services' code ticks, settles, opens markets and pays; only the loop around it is here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cache::{Cache, CacheConfig};
use daemon::shutdown::Shutdown;
use db::DbError;
use db::actions::{Placed, Placing, Wager};
use db::bots::{Credentials, NewBot};
use db::markets::{Market, MarketFilter};
use db::ticks::{Due, Selection, TickEngine};
use ledger_core::economy::EconomyRules;
use ledger_core::market::MarketStatus;
use ledger_core::prediction;
use ledger_core::{BotId, BotStatus, Money, TickNumber, Timestamp};
use oracle::markets::MarketDesk;
use oracle::round::{self, Retention, Rhythm};
use oracle::{Oracle, markets};
use sha2::{Digest as _, Sha256};
use test_kit::Arena;
use tokio_postgres::{Client, Statement};

use crate::agents::{self, Agent, Kind, Turn, View};
use crate::clock::{self, Clock};
use crate::dice::{Dice, mix, word};
use crate::feeds::{self, PriceOf};
use crate::history::{History, Standing};
use crate::world::World;

/// From one price sample to the next, as by default.
const SAMPLE_SECONDS: i64 = 60;
/// The interval between market rounds.
const MARKET_SECONDS: i64 = 30;
/// Wallets in one transaction of a tick.
const CHUNK: i64 = 1_000;
/// Wagers in one transaction, as at the API.
const WAGERS_MAX: usize = 64;

/// The parameters of a simulation.
#[derive(Debug, Clone)]
pub struct Settings {
    pub ticks: i64,
    pub agents: usize,
    pub seed: u64,
    /// The economy, its mode, and the virtual seconds from one tick to the next.
    pub rules: EconomyRules,
}

/// The agents' actions, and the number of refusals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acts {
    pub wagers: u64,
    pub slips: u64,
    pub answers: u64,
    pub refused: u64,
}

/// A simulation between two ticks.
pub struct Simulation {
    pub(crate) settings: Settings,
    pub(crate) arena: Arena,
    pub(crate) agents: Vec<Agent>,
    pub(crate) history: History,
    pub(crate) acts: Acts,
    pub(crate) watch: Client,
    look: Statement,
    clock: Clock,
    world: Arc<World>,
    engine: TickEngine,
    oracle: Oracle,
    desk: MarketDesk,
    next_markets: Timestamp,
    last_sample: Option<Timestamp>,
}

impl Simulation {
    /// Makes a database with a virtual clock and its agents. Nothing has happened in it yet.
    ///
    /// # Errors
    /// When the settings make no sense, or Postgres or Redis does not answer.
    pub async fn begin(settings: Settings) -> anyhow::Result<Simulation> {
        check(&settings)?;
        // One connection: the resolver carries several markets at once, and with more of them the
        // answer that comes first could decide which is paid first.
        let arena = Arena::migrated_after(clock::INSTALL, 1).await;
        let clock = Clock::of(&arena).await?;
        db::ticks::ensure_metrics_partitions(&mut *arena.database().get().await?).await?;
        let seconds = settings.ticks.saturating_mul(settings.rules.tick_rate_seconds);
        let world = Arc::new(World::new(settings.seed, clock.now(), seconds));
        let agents = register(&arena, &settings).await?;
        let cache =
            Cache::connect(CacheConfig { url: arena.redis_url(), namespace: arena.redis_prefix() })
                .await?;
        let round = Duration::from_secs(settings.rules.tick_rate_seconds.unsigned_abs());
        let rhythm = Rhythm { sample_seconds: SAMPLE_SECONDS, round };
        let oracle = Oracle::new(
            arena.database().clone(),
            cache.clone(),
            vec![Arc::new(PriceOf(Arc::clone(&world)))],
            settings.rules.clone(),
            rhythm,
            Shutdown::manual(),
        )
        // The report uses data before the virtual time.
        .keeping(Retention { metrics_days: 0, evidence_days: 0 });
        let desk = MarketDesk::new(
            arena.database().clone(),
            cache,
            feeds::all(&world, &settings.rules),
            settings.rules.clone(),
            Shutdown::manual(),
            dice(settings.seed),
        );
        let watch = arena.owner_client().await;
        Ok(Simulation {
            engine: TickEngine::connect(arena.database()).await?,
            look: watch.prepare(Standing::QUERY).await?,
            watch,
            history: History::new(settings.ticks),
            next_markets: clock.now(),
            last_sample: None,
            acts: Acts::default(),
            settings,
            arena,
            agents,
            clock,
            world,
            oracle,
            desk,
        })
    }

    /// The arena that it happens in.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) async fn standings(&self) -> anyhow::Result<Vec<Standing>> {
        Standing::all(&self.watch, &self.look).await
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One tick: time passes, what is due happens, the agents act.
    ///
    /// # Errors
    /// When anything fails that no rule refuses. A simulation has no bad days.
    pub async fn tick(&mut self, number: i64) -> anyhow::Result<()> {
        let began = Timestamp::from_micros(clock::START_MICROS)
            .context("the start is in the calendar")?
            .plus_seconds(number.saturating_mul(self.settings.rules.tick_rate_seconds));
        self.clock.advance_to(began).await?;
        let tick = self.charge().await?;
        ensure!(tick.0 == number, "tick {tick} came where {number} was due");
        self.settle().await?;
        self.look_after_markets().await?;
        // Between two ticks, so that no price has the exact time of a wager.
        let half = self.settings.rules.tick_rate_seconds * 500_000;
        let later = Timestamp::from_micros(began.micros() + half).context("within the calendar")?;
        self.clock.advance_to(later).await?;
        let standings = self.standings().await?;
        ensure!(
            standings.len() == self.agents.len(),
            "a wallet without an agent, or an agent without one"
        );
        self.history.see(tick, &self.agents, &standings);
        self.act(tick, &standings).await?;
        if self.history.is_due(tick) {
            let census = db::supply::census(&mut *self.arena.database().get().await?).await?;
            self.history.record(tick, &self.agents, &standings, census.supply);
        }
        Ok(())
    }

    /// The ticker's work.
    async fn charge(&mut self) -> anyhow::Result<TickNumber> {
        let rules = &self.settings.rules;
        let tick = {
            let mut conn = self.arena.database().get().await?;
            match db::ticks::due(&mut conn, rules, self.settings.rules.tick_rate_seconds).await? {
                Due::Begun(tick) => tick,
                other => bail!("no tick was due: {other:?}"),
            }
        };
        let mut after = BotId(i64::MIN);
        loop {
            let selection = Selection::Free { after, limit: CHUNK };
            let report = self.engine.apply(&tick, &self.settings.rules, &selection).await?;
            match report.last {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut conn = self.arena.database().get().await?;
        let closed = db::ticks::close(&mut conn, &tick).await?;
        let closed = closed.with_context(|| format!("tick {} left out a bot", tick.number))?;
        ensure!(closed.failed == 0, "{} bots could not be ticked", closed.failed);
        Ok(tick.number)
    }

    /// The oracle's work: price, start prices, settlement, reaper.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let report = round::run(&self.oracle, now, &|| true).await;
        let whole = report.sampled.is_some()
            && report.started.is_some()
            && report.reaped.is_some()
            && report.pruned.is_some()
            && report.events_pruned.is_some()
            && report.partitioned.is_some()
            && report.settlement.as_ref().is_some_and(|it| it.failed.is_empty());
        ensure!(whole, "a step of the oracle failed at {now}: {report:?}");
        if matches!(report.sampled, Some(oracle::sampling::Sampled::Recorded { .. })) {
            self.last_sample = Some(now);
        }
        Ok(())
    }

    /// The market round's work.
    async fn look_after_markets(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        if now < self.next_markets {
            return Ok(());
        }
        self.next_markets = now.plus_seconds(MARKET_SECONDS);
        let report = markets::run(&self.desk, &|| true).await;
        let whole = report.resolved.is_some() && report.stocked.is_some();
        ensure!(whole, "a step of the market round failed at {now}: {report:?}");
        Ok(())
    }

    /// Lets all living agents observe, decide and act, in an order given by the tick.
    async fn act(&mut self, tick: TickNumber, standings: &[Standing]) -> anyhow::Result<()> {
        let open = MarketFilter { status: Some(MarketStatus::Open), ..MarketFilter::default() };
        let markets =
            db::markets::page(&mut *self.arena.database().get().await?, open, None, 200).await?;
        let mut turns = self.turns(tick, standings, &markets);
        let wagers: Vec<Wager> =
            turns.iter_mut().filter_map(|(_, turn)| turn.wager.take()).collect();
        for wagers in wagers.chunks(WAGERS_MAX) {
            self.place(wagers).await?;
        }
        for (place, turn) in turns {
            self.carry_out(place, turn).await?;
        }
        Ok(())
    }

    fn turns(
        &self,
        tick: TickNumber,
        standings: &[Standing],
        markets: &[Market],
    ) -> Vec<(usize, Turn)> {
        let seed = self.settings.seed;
        let samples = self.samples();
        let mut turns: Vec<(u64, usize, Turn)> = Vec::new();
        for (place, (agent, standing)) in self.agents.iter().zip(standings).enumerate() {
            if standing.status != BotStatus::Alive {
                continue;
            }
            let view = View {
                seed,
                tick,
                now: self.clock.now(),
                rules: &self.settings.rules,
                world: &self.world,
                markets,
                samples,
                balance: standing.balance,
                open_predictions: standing.open_predictions,
                open_stake: standing.open_stake,
            };
            let turn = agents::decide(agent, &view);
            let (bot, tick) = (agent.bot_id.0.cast_unsigned(), tick.0.cast_unsigned());
            turns.push((mix(&[seed, word("order"), tick, bot]), place, turn));
        }
        turns.sort_by_key(|(order, place, _)| (*order, *place));
        turns.into_iter().map(|(_, place, turn)| (place, turn)).collect()
    }

    /// When the price is sampled with which a wager of now starts, and the first one a horizon after it.
    fn samples(&self) -> (Timestamp, Timestamp) {
        let rate = self.settings.rules.tick_rate_seconds;
        // The tick nearest to the interval takes the sample.
        let step = ((SAMPLE_SECONDS + rate / 2) / rate).max(1) * rate;
        let due = prediction::start_due(self.clock.now(), &self.settings.rules);
        let mut start = self.last_sample.unwrap_or(self.clock.now()).plus_seconds(step);
        while start < due {
            start = start.plus_seconds(step);
        }
        let horizon = self.settings.rules.prediction_horizon_seconds;
        let steps = (horizon + step - 1) / step;
        (start, start.plus_seconds(steps * step))
    }

    async fn place(&mut self, wagers: &[Wager]) -> anyhow::Result<()> {
        let placings: Vec<Placing<'_>> =
            wagers.iter().map(|wager| Placing { wager, hook: None }).collect();
        let mut conn = self.arena.database().get().await?;
        for placed in db::actions::place_all(&mut conn, &placings, &self.settings.rules).await? {
            match placed {
                Placed::Accepted(_) => self.acts.wagers += 1,
                Placed::Refused(_) => self.acts.refused += 1,
                Placed::Passed => bail!("a wager was skipped although no wallet is locked"),
            }
        }
        Ok(())
    }

    /// The rest of a turn: bets, then an answer.
    async fn carry_out(&mut self, place: usize, turn: Turn) -> anyhow::Result<()> {
        let rules = &self.settings.rules;
        let mut been_in = Vec::new();
        if let Some(slip) = turn.slip {
            let mut conn = self.arena.database().get().await?;
            if was_taken(db::markets::place(&mut conn, &slip, rules, None).await)? {
                self.acts.slips += 1;
                been_in.extend(slip.bets.iter().map(|bet| bet.market_id));
            } else {
                self.acts.refused += 1;
            }
        }
        if let Some(answer) = turn.answer {
            let mut conn = self.arena.database().get().await?;
            if was_taken(db::markets::answer(&mut conn, &answer, rules, None).await)? {
                self.acts.answers += 1;
            } else {
                // Somebody else was first with the right one.
                self.acts.refused += 1;
            }
            been_in.push(answer.market_id);
        }
        if let Some(agent) = self.agents.get_mut(place) {
            agent.been_in.extend(been_in);
        }
        Ok(())
    }
}

fn check(settings: &Settings) -> anyhow::Result<()> {
    ensure!(settings.ticks >= 1, "a simulation has at least one tick");
    ensure!(settings.agents >= 1, "a simulation has at least one agent");
    ensure!(
        (1..=3_600).contains(&settings.rules.tick_rate_seconds),
        "ticks are 1 to 3600 seconds apart"
    );
    let days = settings.ticks.saturating_mul(settings.rules.tick_rate_seconds) / 86_400;
    ensure!(days < 366, "{days} virtual days are more than a year: fewer or shorter ticks");
    let problems = settings.rules.problems();
    ensure!(problems.is_empty(), "the economy makes no sense: {problems:?}");
    Ok(())
}

/// Whether something was accepted; an error that is no refusal is one.
fn was_taken<T>(outcome: Result<T, DbError>) -> anyhow::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(DbError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The market round's random numbers, ids and nonces among them.
fn dice(seed: u64) -> oracle::markets::Dice {
    let dice = Mutex::new(Dice::new(seed));
    Arc::new(move || dice.lock().unwrap_or_else(PoisonError::into_inner).draw())
}

async fn register(arena: &Arena, settings: &Settings) -> anyhow::Result<Vec<Agent>> {
    let mut numbers = BTreeMap::<Kind, usize>::new();
    let mut agents = Vec::with_capacity(settings.agents);
    for kind in Kind::ALL.into_iter().cycle().take(settings.agents) {
        let number = numbers.entry(kind).or_default();
        *number += 1;
        let handle = format!("{kind}-{number}");
        let credentials = Credentials {
            // Nobody logs in here, so nothing has to hash to it.
            api_key_hash: "$argon2id$none".to_owned(),
            api_secret_sha256: Sha256::digest(&handle).into(),
        };
        let new = NewBot {
            handle: &handle.parse()?,
            persona: "",
            hosted: false,
            credentials: &credentials,
            actor: "simulation",
            while_paused: db::pauses::WhilePaused::Refuse,
        };
        let mut conn = arena.database().get().await?;
        let registered = db::bots::register(&mut conn, &new, &settings.rules, None).await?;
        agents.push(Agent {
            bot_id: registered.profile.id,
            kind,
            handle,
            been_in: std::collections::BTreeSet::new(),
        });
    }
    Ok(agents)
}

/// Money as units, for sums that no balance can hold.
pub(crate) fn units(money: Money) -> i128 {
    i128::from(money.units())
}
