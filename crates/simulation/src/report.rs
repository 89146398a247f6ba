//! The report: one HTML file that needs nothing else, no network and no script.

use std::fmt::Write as _;

use ledger_core::economy::Enforcement;

use crate::accounts::Outcome;
use crate::agents::Kind;
use crate::plots;
use crate::table::{AGENTS, Column, KindSum, MARKETS, SHADOW, balance_sheet, by_kind};

const STYLE: &str = include_str!("report.css");

/// A text between tags or in an attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The whole page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn html(outcome: &Outcome) -> anyhow::Result<String> {
    let settings = &outcome.settings;
    let title = format!(
        "A simulated economy: {} ticks, {} agents, seed {}",
        settings.ticks,
        outcome.agents.len(),
        settings.seed
    );
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n",
        title = escape(&title)
    );
    opening(&mut page, outcome)?;
    legend(&mut page, outcome)?;
    over_time(&mut page, outcome)?;
    skill(&mut page, outcome)?;
    kinds(&mut page, outcome)?;
    markets(&mut page, outcome)?;
    books(&mut page, outcome)?;
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

fn opening(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let settings = &outcome.settings;
    let minutes = settings.ticks.saturating_mul(settings.rules.tick_rate_seconds) / 60;
    let mode = match settings.rules.enforcement {
        Enforcement::Enforce => "Fees are charged, and insolvent bots die.",
        Enforcement::Observe => {
            "Fees are only recorded: no bot dies, and the report shows which ones would have."
        }
    };
    writeln!(
        page,
        "<p class=\"quiet\">Mode <b>{}</b>. {mode} Time, the outside world and the agents are scripted; \
         everything else is the services’ own code on a real Postgres.</p>",
        settings.rules.enforcement
    )?;
    let alive = outcome.agents.iter().filter(|agent| agent.alive).count();
    let lives = match settings.rules.enforcement {
        Enforcement::Enforce => "agents alive at the end",
        Enforcement::Observe => "agents would be alive",
    };
    let opened: i64 = outcome.sources.values().map(|source| source.opened).sum();
    let tiles = [
        (format!("{}:{:02} h", minutes / 60, minutes % 60), "of virtual time"),
        (format!("{alive} of {}", outcome.agents.len()), lives),
        (outcome.acts.wagers.to_string(), "price predictions"),
        (opened.to_string(), "markets opened"),
        (outcome.audit.entries.to_string(), "entries, every hash recomputed"),
        (outcome.audit.drift.clone(), "drift of the books"),
    ];
    page.push_str("<div class=\"tiles\">\n");
    for (figure, what) in tiles {
        let figure = escape(&figure);
        writeln!(page, "<div class=\"tile\"><b>{figure}</b><span>{what}</span></div>")?;
    }
    page.push_str("</div>\n");
    Ok(())
}

fn legend(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let there =
        Kind::ALL.into_iter().filter(|kind| outcome.agents.iter().any(|one| one.kind == *kind));
    let entries = there.map(|kind| (kind.as_str(), plots::css(plots::colour(kind))));
    colours(page, entries)
}

fn colours(
    page: &mut String,
    entries: impl Iterator<Item = (&'static str, String)>,
) -> std::fmt::Result {
    page.push_str("<ul class=\"legend\">\n");
    for (name, colour) in entries {
        writeln!(page, "<li><i style=\"background:{colour}\"></i>{name}</li>")?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

fn figure(page: &mut String, heading: &str, words: &str, svg: &str) -> std::fmt::Result {
    writeln!(
        page,
        "<h2>{}</h2>\n<p class=\"quiet\">{}</p>\n<figure>{svg}</figure>",
        escape(heading),
        escape(words)
    )
}

fn over_time(page: &mut String, outcome: &Outcome) -> anyhow::Result<()> {
    let moments = &outcome.history.moments;
    let observes = outcome.settings.rules.enforcement == Enforcement::Observe;
    if observes {
        let words = "Mean over all agents of a kind.";
        let plot = plots::straight("balance", moments, |of| of.balance_units)?;
        figure(page, "Balances", words, &plot)?;
        let words = "The balance if recorded fees had been charged.";
        let plot = plots::straight("shadow balance", moments, |of| of.shadow_units)?;
        figure(page, "Shadow balances", words, &plot)?;
    } else {
        let words = "Mean over all agents of a kind, dead ones with zero. The scale is logarithmic and ends \
                     at one credit: a line at the bottom has less.";
        figure(page, "Balances", words, &plots::balances(moments)?)?;
    }
    let (alive, deaths) = if observes {
        ("Who would live", "Deaths that would have happened")
    } else {
        ("Who lives", "Deaths")
    };
    figure(page, alive, "Agents of each kind, upon each other.", &plots::alive(moments)?)?;
    if outcome.agents.iter().all(|agent| agent.died_in.is_none()) {
        writeln!(page, "<h2>{deaths}</h2>\n<p>Nobody.</p>")?;
    } else {
        let plot = plots::deaths(&outcome.agents, outcome.settings.ticks)?;
        figure(page, deaths, "The first time that a fee could not be paid.", &plot)?;
    }
    figure(
        page,
        "The supply",
        "Everything ever minted, by where it is by now. Minted and not burned credits are in escrow or in a \
         wallet, to the last unit.",
        &plots::supply(moments)?,
    )?;
    colours(page, plots::SUPPLY.into_iter().map(|(name, colour, _)| (name, plots::css(colour))))?;
    Ok(())
}

fn skill(page: &mut String, outcome: &Outcome) -> anyhow::Result<()> {
    if outcome.calibration.is_empty() {
        writeln!(page, "<h2>Calibration</h2>\n<p>Nothing was settled.</p>")?;
        return Ok(());
    }
    let words = format!(
        "How often predictions of a confidence came true. On the dashed line the confidence is right; below \
         it, it is too high. Larger points have more predictions, hollow ones fewer than {}; the bars count \
         them.",
        plots::FEW
    );
    let plot = plots::calibration(&outcome.calibration)?;
    figure(page, "Calibration", &words, &plot)?;
    legend(page, outcome)?;
    Ok(())
}

fn rows(
    page: &mut String,
    heading: &str,
    names: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> std::fmt::Result {
    writeln!(page, "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<tr>", escape(heading))?;
    for name in names {
        writeln!(page, "<th scope=\"col\">{}</th>", escape(name))?;
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            write!(page, "<td>{}</td>", escape(&cell))?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
    Ok(())
}

fn columns<'a, T: 'a>(
    page: &mut String,
    heading: &str,
    columns: impl Iterator<Item = &'a Column<T>> + Clone,
    of: impl IntoIterator<Item = T>,
) -> std::fmt::Result {
    let names: Vec<&str> = columns.clone().map(|(_, _, name, _)| *name).collect();
    let cells = move |of: T| columns.clone().map(|(.., cell)| cell(&of)).collect();
    rows(page, heading, &names, of.into_iter().map(cells))
}

fn kinds(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let is_shadow = |column: &&Column<KindSum>| column.0 == SHADOW;
    let others = AGENTS.iter().filter(move |column| !is_shadow(column));
    // In enforce mode there is no shadow balance.
    let observes = outcome.settings.rules.enforcement == Enforcement::Observe;
    let shadow = AGENTS.iter().filter(move |column| observes && is_shadow(column));
    columns(page, "Agents", others.chain(shadow), by_kind(&outcome.agents))
}

fn markets(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    columns(page, "Markets", MARKETS.iter(), outcome.sources.clone())
}

fn books(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let audit = &outcome.audit;
    let lines = balance_sheet(outcome).into_iter().chain([("as of", audit.as_of.to_string())]);
    let lines = lines.map(|(name, figure)| vec![name.to_owned(), figure]);
    rows(page, "The ledger is sound", &["books", "credits"], lines)?;
    writeln!(
        page,
        "<p>Heads digest <code>{}</code>: the same arguments end with the same one.</p>",
        audit.heads_digest
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_becomes_a_tag() {
        assert_eq!(
            escape("<b title=\"x\">A & B's</b>"),
            "&lt;b title=&quot;x&quot;&gt;A &amp; B&#39;s&lt;/b&gt;"
        );
    }
}
