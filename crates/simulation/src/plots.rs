//! The plots of a report, each a self-contained SVG.
//!
//! Lines and text are drawn in fixed greys; the page's style sheet gives text the colour of the page,
//! so that one drawing is readable on light and on dark.
#![allow(
    clippy::float_arithmetic,
    reason = "places on paper; what they show was added up in whole units"
)]

use std::ops::Range;

use anyhow::Context;
use ledger_core::supply::Supply;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::RelativeSize;

use crate::accounts::{AgentAccount, Said};
use crate::agents::Kind;
use crate::history::{Moment, OfKind};

const WIDTH: u32 = 880;
const HEIGHT: u32 = 320;
const LABEL_PIXELS: u32 = 16;
const AXIS: RGBColor = RGBColor(128, 128, 128);
/// The lower end of the logarithmic scale: dead bots are drawn here.
const FLOOR: f64 = 1.0;
/// Bars of the histogram of deaths.
const DEATH_BARS: usize = 50;
/// Per cent in one point of the reliability diagram.
const BIN: i64 = 5;
/// A point of fewer than this is drawn hollow: it is not significant.
pub const FEW: i64 = 100;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of a kind, in every plot and in the legend.
pub fn colour(kind: Kind) -> RGBColor {
    let [red, green, blue] = kind.colour();
    RGBColor(red, green, blue)
}

/// Where the money is: its name, its colour, and how much is there.
type Place = (&'static str, RGBColor, fn(&Supply) -> i128);
pub const SUPPLY: [Place; 3] = [
    ("burned", RGBColor(138, 143, 152), |supply| supply.burned),
    ("in escrow", RGBColor(199, 154, 43), |supply| supply.escrow),
    ("in wallets", RGBColor(47, 163, 124), |supply| supply.circulating),
];

/// As CSS wants it.
pub fn css(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

#[allow(clippy::cast_precision_loss, reason = "pixels are coarser")]
fn credits(units: i128) -> f64 {
    units as f64 / 100_000_000.0
}

#[allow(clippy::cast_precision_loss, reason = "pixels are coarser")]
fn number(count: i64) -> f64 {
    count as f64
}

/// A whole number with commas between thousands.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let sign = if value < 0.0 && digits != "0" { "−" } else { "" };
    format!("{sign}{text}")
}

/// Draws on a new sheet. `title` is the text for screen readers.
fn sheet(
    title: &str,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    let at = svg.find("<svg ").context("a drawing is an SVG")?;
    let body = svg.get(at + 5..).context("a drawing is an SVG")?;
    let title = crate::report::escape(title);
    Ok(format!("<svg role=\"img\" aria-label=\"{title}\" {body}"))
}

/// Shared by all plots: margins, labels, and axes in grey. Its own words come last.
macro_rules! axes {
    ($area:expr, $below:literal, $x:expr, $y:expr, $($own:tt)+) => {{
        let mut chart = ChartBuilder::on($area)
            .margin(8)
            .margin_right(18)
            .x_label_area_size($below)
            .y_label_area_size(84)
            .build_cartesian_2d($x, $y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(AXIS.mix(0.3))
            .axis_style(AXIS)
            .label_style(("sans-serif", LABEL_PIXELS))
            .x_labels(9)
            $($own)+
            .draw()?;
        chart
    }};
}

/// The axes of a plot over time.
macro_rules! over_time {
    ($area:expr, $x:expr, $y:expr, $what:expr, $y_label:expr) => {
        axes!(
            $area, 48, $x, $y,
            .axis_desc_style(("sans-serif", LABEL_PIXELS))
            .y_labels(6)
            .x_label_formatter(&|x| thousands(*x))
            .y_label_formatter($y_label)
            .x_desc("tick")
            .y_desc($what)
        )
    };
}

fn ticks(moments: &[Moment]) -> Range<f64> {
    let last = moments.last().map_or(1, |moment| moment.tick.max(1));
    0.0..number(last)
}

/// One line for each kind: a mean over its agents.
fn lines(moments: &[Moment], value: impl Fn(&OfKind) -> f64) -> Vec<(Kind, Vec<(f64, f64)>)> {
    let kinds = moments.first().into_iter().flat_map(|moment| &moment.kinds).map(|of| of.kind);
    let line = |kind: Kind| {
        let points = moments.iter().filter_map(|moment| {
            let of = moment.kinds.iter().find(|of| of.kind == kind)?;
            Some((number(moment.tick), value(of)))
        });
        (kind, points.collect())
    };
    kinds.map(line).collect()
}

/// Mean balances by kind, on a logarithmic scale: between a beggar and a winner lie orders of
/// magnitude.
///
/// # Errors
/// When it cannot be drawn, as with all of these.
pub fn balances(moments: &[Moment]) -> anyhow::Result<String> {
    let mean = |of: &OfKind| (credits(of.balance_units) / number(of.agents.max(1))).max(FLOOR);
    let lines = lines(moments, mean);
    let top = lines.iter().flat_map(|(_, points)| points).map(|point| point.1).fold(10.0, f64::max);
    sheet("Mean balance by kind of agent over time", HEIGHT, |area| {
        let y = (FLOOR..top * 1.3).log_scale();
        let mut chart = over_time!(area, ticks(moments), y, "credits (mean)", &|y| thousands(*y));
        for (kind, points) in &lines {
            let style = colour(*kind).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        }
        Ok(())
    })
}

/// Mean balances by kind on a plain scale, with a line at zero: without deaths they stay near each other.
pub fn straight(
    what: &str,
    moments: &[Moment],
    units: impl Fn(&OfKind) -> i128,
) -> anyhow::Result<String> {
    let mean = |of: &OfKind| credits(units(of)) / number(of.agents.max(1));
    let lines = lines(moments, mean);
    let all = || lines.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let (low, high) = (all().fold(0.0, f64::min), all().fold(10.0, f64::max));
    sheet(&format!("Mean {what} by kind of agent over time"), HEIGHT, |area| {
        let y = low * 1.05..high * 1.05;
        let mut chart = over_time!(area, ticks(moments), y, "credits (mean)", &|y| thousands(*y));
        let zero = [(0.0, 0.0), (ticks(moments).end, 0.0)];
        chart.draw_series(LineSeries::new(zero, AXIS.stroke_width(1)))?;
        for (kind, points) in &lines {
            let style = colour(*kind).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        }
        Ok(())
    })
}

/// Layers upon each other over time, the first at the bottom.
fn stacked(
    title: &str,
    what: &str,
    moments: &[Moment],
    layers: &[(RGBColor, Vec<f64>)],
) -> anyhow::Result<String> {
    let x: Vec<f64> = moments.iter().map(|moment| number(moment.tick)).collect();
    let mut sums = vec![0.0; x.len()];
    let mut edges = Vec::with_capacity(layers.len());
    for (colour, values) in layers {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
        edges.push((*colour, sums.clone()));
    }
    let top = sums.iter().copied().fold(1.0, f64::max);
    let last = x.last().copied().unwrap_or(1.0).max(1.0);
    sheet(title, HEIGHT, |area| {
        let mut chart = over_time!(area, 0.0..last, 0.0..top * 1.05, what, &|y| thousands(*y));
        // From the top down: each covers the lower part of the one before.
        for (colour, edge) in edges.iter().rev() {
            let points = x.iter().copied().zip(edge.iter().copied());
            chart.draw_series(AreaSeries::new(points, 0.0, colour.filled()))?;
        }
        Ok(())
    })
}

/// Living bots, by kind.
pub fn alive(moments: &[Moment]) -> anyhow::Result<String> {
    let layers: Vec<(RGBColor, Vec<f64>)> = lines(moments, |of| number(of.alive))
        .into_iter()
        .map(|(kind, points)| (colour(kind), points.into_iter().map(|point| point.1).collect()))
        .collect();
    stacked("Agents alive by kind over time", "agents alive", moments, &layers)
}

/// Where all that was ever minted is by now.
pub fn supply(moments: &[Moment]) -> anyhow::Result<String> {
    let layers: [(RGBColor, Vec<f64>); 3] = SUPPLY.map(|(_, colour, of)| {
        (colour, moments.iter().map(|moment| credits(of(&moment.supply))).collect())
    });
    stacked("Money minted, by where it is, over time", "credits minted", moments, &layers)
}

/// When agents died, by kind.
pub fn deaths(agents: &[AgentAccount], ticks: i64) -> anyhow::Result<String> {
    let width = number(ticks.max(1)) / number(i64::try_from(DEATH_BARS)?);
    let mut bars = Bars::default();
    for kind in Kind::ALL {
        for died in agents.iter().filter(|one| one.kind == kind).filter_map(|one| one.died_in) {
            let place = died.saturating_sub(1).max(0) * i64::try_from(DEATH_BARS)? / ticks.max(1);
            bars.add(usize::try_from(place)?.min(DEATH_BARS - 1), kind, 1.0);
        }
    }
    sheet("Deaths by tick and kind of agent", HEIGHT, |area| {
        let (x, y) = (0.0..number(ticks.max(1)), 0.0..(bars.top() + 0.5).max(1.5));
        let whole = |y: &f64| {
            if y.fract() == 0.0 { thousands(*y) } else { String::new() }
        };
        let mut chart = over_time!(area, x, y, "deaths", &whole);
        chart.draw_series(bars.rectangles(|place| {
            let left = number(i64::try_from(place).unwrap_or(0)) * width;
            (left + width * 0.08, left + width * 0.92)
        }))?;
        Ok(())
    })
}

/// Stacked bars: for each place the layers in order of their kinds.
#[derive(Default)]
struct Bars(std::collections::BTreeMap<usize, std::collections::BTreeMap<Kind, f64>>);

impl Bars {
    fn add(&mut self, place: usize, kind: Kind, value: f64) {
        *self.0.entry(place).or_default().entry(kind).or_default() += value;
    }

    fn top(&self) -> f64 {
        self.0.values().map(|bar| bar.values().sum()).fold(0.0, f64::max)
    }

    fn rectangles(&self, sides: impl Fn(usize) -> (f64, f64)) -> Vec<Rectangle<(f64, f64)>> {
        let mut rectangles = Vec::new();
        for (place, bar) in &self.0 {
            let (left, right) = sides(*place);
            let mut from = 0.0;
            for (kind, value) in bar {
                let corners = [(left, from), (right, from + value)];
                rectangles.push(Rectangle::new(corners, colour(*kind).filled()));
                from += value;
            }
        }
        rectangles
    }
}

/// One point of the reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    kind: Kind,
    /// The mean confidence, in per cent.
    said: f64,
    right: f64,
    times: i64,
}

fn points(calibration: &[Said]) -> Vec<Point> {
    let mut bins = std::collections::BTreeMap::<(Kind, i64), (i64, i64, i64)>::new();
    for said in calibration {
        let bin = bins.entry((said.kind, said.percent / BIN)).or_default();
        bin.0 += said.times;
        bin.1 += said.right;
        bin.2 += said.percent * said.times;
    }
    bins.into_iter()
        .map(|((kind, _), (times, right, sum))| Point {
            kind,
            said: number(sum) / number(times.max(1)),
            right: number(right) * 100.0 / number(times.max(1)),
            times,
        })
        .collect()
}

/// How often predictions of this confidence were right, and below their number.
pub fn calibration(calibration: &[Said]) -> anyhow::Result<String> {
    let points = points(calibration);
    let most = points.iter().map(|point| point.times).max().unwrap_or(1);
    let mut bars = Bars::default();
    for said in calibration {
        let place = usize::try_from(said.percent / BIN)?;
        bars.add(place, said.kind, number(said.times));
    }
    sheet("Reliability diagram with counts", 560, |area| {
        let (upper, lower) = area.split_vertically(RelativeSize::Height(0.68));
        reliability(&upper, &points, most)?;
        let mut chart = axes!(
            &lower, 48, 25.0..100.0, 0.0..(bars.top() * 1.08).max(1.0),
            .y_labels(4)
            .x_label_formatter(&|x| format!("{x:.0} %"))
            .y_label_formatter(&|y| thousands(*y))
            .x_desc("confidence")
            .y_desc("times said")
        );
        chart.draw_series(bars.rectangles(|place| {
            let left = number(i64::try_from(place).unwrap_or(0) * BIN);
            (left + 0.4, left + number(BIN) - 0.4)
        }))?;
        Ok(())
    })
}

fn reliability(area: &Area<'_>, points: &[Point], most: i64) -> anyhow::Result<()> {
    let mut chart = axes!(
        area, 24, 25.0..100.0, 0.0..100.0,
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.0} %"))
        .y_label_formatter(&|y| format!("{y:.0} %"))
        .y_desc("came true")
    );
    let diagonal = [(25.0, 25.0), (100.0, 100.0)];
    chart.draw_series(DashedLineSeries::new(diagonal, 5, 5, AXIS.stroke_width(1)))?;
    chart.draw_series(points.iter().map(|point| {
        // By area, and never too small to see.
        let share = (number(point.times) / number(most)).sqrt();
        #[allow(clippy::cast_possible_truncation, reason = "from 4 to 13 pixels")]
        let pixels = (4.0 + 9.0 * share).round() as i32;
        let style = if point.times < FEW {
            colour(point.kind).stroke_width(2)
        } else {
            colour(point.kind).mix(0.85).filled()
        };
        Circle::new((point.said, point.right), pixels, style)
    }))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(-1_000.0), "−1,000");
        assert_eq!(thousands(-0.2), "0");
    }

    #[test]
    fn what_is_said_is_put_into_bins_by_kind() {
        let said = |kind, percent, times, right| Said { kind, percent, times, right };
        let found = points(&[
            said(Kind::Calibrated, 70, 10, 7),
            said(Kind::Calibrated, 74, 10, 8),
            said(Kind::Calibrated, 75, 1, 1),
            said(Kind::Walker, 70, 2, 0),
        ]);
        assert_eq!(found.len(), 3);
        let first = found.iter().find(|point| point.times == 20).unwrap();
        assert_eq!((first.said, first.right), (72.0, 75.0));
    }
}
