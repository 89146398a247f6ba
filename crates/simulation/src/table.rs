//! The results of a simulation, as text for a terminal.

use std::fmt::Write as _;

use ledger_core::market::MarketSource;
use ledger_core::supply::units_text;

use crate::accounts::{AgentAccount, Outcome, SourceAccount};
use crate::agents::Kind;

/// Digits of a sum of units that are left out: two of eight are shown, or three.
pub(crate) const CENTS: usize = 6;
pub(crate) const THOUSANDTHS: usize = 5;

/// The agents of one kind, added up. Empty kinds have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSum {
    pub kind: Kind,
    pub agents: i128,
    pub alive: i128,
    pub balance_units: i128,
    pub median_units: i128,
    pub shadow_units: i128,
    pub profit_units: i128,
    pub won: i128,
    pub lost: i128,
    pub brier_units: i128,
    pub brier_count: i128,
    /// The first and the last of those that died.
    pub deaths: Option<(i64, i64)>,
}

/// Adds the agents up by kind.
pub fn by_kind(agents: &[AgentAccount]) -> Vec<KindSum> {
    Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let of: Vec<&AgentAccount> = agents.iter().filter(|one| one.kind == kind).collect();
            let sum = |part: fn(&AgentAccount) -> i128| of.iter().map(|one| part(one)).sum();
            let mut balances: Vec<i128> = of.iter().map(|one| one.balance_units).collect();
            balances.sort_unstable();
            let deaths = || of.iter().filter_map(|one| one.died_in);
            Some(KindSum {
                kind,
                agents: i128::try_from(of.len()).ok().filter(|agents| *agents > 0)?,
                alive: sum(|one| i128::from(one.alive)),
                balance_units: sum(|one| one.balance_units),
                median_units: median(&balances),
                shadow_units: sum(|one| one.shadow_units),
                profit_units: sum(|one| one.profit_units),
                won: sum(|one| one.won.into()),
                lost: sum(|one| i128::from(one.settled - one.won)),
                brier_units: sum(|one| one.brier_units),
                brier_count: sum(|one| one.brier_count.into()),
                deaths: deaths().min().zip(deaths().max()),
            })
        })
        .collect()
}

/// Of several in order; of an even number the mean of the two in the middle.
fn median(sorted: &[i128]) -> i128 {
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2 }
}

/// Units as credits with two digits, cut off.
pub fn credits(units: i128) -> String {
    mean(units, 1, CENTS)
}

/// A mean of units with so many of its digits; a dash where there is nothing to divide.
pub(crate) fn mean(units: i128, count: i128, digits_off: usize) -> String {
    let Some(mean) = units.checked_div(count) else {
        return "-".to_owned();
    };
    let text = units_text(mean);
    text.get(..text.len().saturating_sub(digits_off)).unwrap_or(&text).to_owned()
}

pub(crate) fn died(deaths: Option<(i64, i64)>) -> String {
    match deaths {
        None => "-".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}–{last}"),
    }
}

/// The whole table.
pub fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, outcome)
        .and_then(|()| rows(&mut out, &AGENTS, by_kind(&outcome.agents)))
        .and_then(|()| rows(&mut out, &MARKETS, outcome.sources.clone()))
        .and_then(|()| books(&mut out, outcome));
    out
}

fn head(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let settings = &outcome.settings;
    writeln!(
        out,
        "{} ticks of {} s, {} agents, seed {}, {}: {} wagers, {} slips of bets, {} answers, {} refused\n",
        settings.ticks,
        settings.rules.tick_rate_seconds,
        outcome.agents.len(),
        settings.seed,
        settings.rules.enforcement,
        outcome.acts.wagers,
        outcome.acts.slips,
        outcome.acts.answers,
        outcome.acts.refused
    )
}

/// A column: its name and width in a terminal, its name on a page, and what is in it.
pub(crate) type Column<T> = (&'static str, usize, &'static str, fn(&T) -> String);

/// The columns for each kind of agent.
pub(crate) const AGENTS: [Column<KindSum>; 12] = [
    ("AGENTS", 14, "agents", |it| it.kind.to_string()),
    ("COUNT", 6, "count", |it| it.agents.to_string()),
    ("ALIVE", 5, "alive", |it| it.alive.to_string()),
    ("MEAN", 10, "balance, mean", |it| mean(it.balance_units, it.agents, CENTS)),
    ("MEDIAN", 10, "median", |it| credits(it.median_units)),
    (SHADOW, 10, "shadow, mean", |it| mean(it.shadow_units, it.agents, CENTS)),
    ("PROFIT", 10, "profit, mean", |it| mean(it.profit_units, it.agents, CENTS)),
    ("WON", 7, "won", |it| it.won.to_string()),
    ("LOST", 7, "lost", |it| it.lost.to_string()),
    ("BRIER", 7, "Brier", |it| mean(it.brier_units, it.brier_count, THOUSANDTHS)),
    ("OF", 7, "of", |it| it.brier_count.to_string()),
    ("DIED IN", 11, "died in tick", |it| died(it.deaths)),
];
/// The column that only applies in observe mode.
pub(crate) const SHADOW: &str = "SHADOW";

/// The columns for the markets of each source.
pub(crate) const MARKETS: [Column<(MarketSource, SourceAccount)>; 9] = [
    ("MARKETS", 14, "markets", |(source, _)| source.as_str().to_lowercase()),
    ("OPENED", 6, "opened", |(_, it)| it.opened.to_string()),
    ("RESOLVED", 8, "resolved", |(_, it)| it.resolved.to_string()),
    ("VOID", 5, "void", |(_, it)| it.void.to_string()),
    ("EXPIRED", 7, "expired", |(_, it)| it.expired.to_string()),
    ("BETS", 7, "bets", |(_, it)| it.bets.to_string()),
    ("STAKED", 12, "staked", |(_, it)| credits(it.staked_units)),
    ("PAID", 12, "paid", |(_, it)| credits(it.paid_units)),
    ("BOUNTIES", 12, "bounties", |(_, it)| credits(it.minted_units)),
];

fn rows<T>(
    out: &mut String,
    columns: &[Column<T>],
    of: impl IntoIterator<Item = T>,
) -> std::fmt::Result {
    let names = columns.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let cells = |of: T| columns.iter().map(|(.., cell)| cell(&of)).collect();
    let cells = of.into_iter().map(cells);
    for line in std::iter::once(names).chain(cells) {
        let line: Vec<String> = line;
        for (place, (cell, (_, width, ..))) in line.iter().zip(columns).enumerate() {
            match place {
                0 => write!(out, "{cell:<width$}")?,
                _ => write!(out, " {cell:>width$}")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn books(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let audit = &outcome.audit;
    let begin = [("as of", audit.as_of.to_string()), ("entries", audit.entries.to_string())];
    writeln!(out, "The ledger is sound.")?;
    for (name, figure) in begin.into_iter().chain(balance_sheet(outcome)) {
        writeln!(out, "  {name:<12}  {figure}")?;
    }
    writeln!(out, "  heads digest  {}", audit.heads_digest)
}

/// Where all money is, and by how much the books are off.
pub(crate) fn balance_sheet(outcome: &Outcome) -> [(&'static str, String); 5] {
    let (audit, (predictions, bets)) = (&outcome.audit, outcome.escrow);
    let (predictions, bets) = (credits(predictions), credits(bets));
    let escrow = &audit.supply.escrow;
    [
        ("minted", audit.supply.minted.clone()),
        ("burned", audit.supply.burned.clone()),
        ("escrow", format!("{escrow} ({predictions} in predictions, {bets} in bets)")),
        ("circulating", audit.supply.circulating.clone()),
        ("drift", audit.drift.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median(&[]), 0);
        assert_eq!(median(&[7]), 7);
        assert_eq!(median(&[1, 3]), 2);
        assert_eq!(median(&[1, 3, 100]), 3);
    }

    #[test]
    fn figures_are_cut_off_and_never_divided_by_nothing() {
        assert_eq!(credits(123_456_789_012), "1234.56");
        assert_eq!(credits(-50_000_000), "-0.50");
        assert_eq!(mean(1, 0, 6), "-");
        assert_eq!(mean(50_000_000, 2, 5), "0.250");
        assert_eq!(died(None), "-");
        assert_eq!(died(Some((5, 5))), "5");
    }
}
