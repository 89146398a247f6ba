//! The table that a benchmark run prints.

/// A figure that must reach something.
struct Row {
    what: String,
    ours: String,
    limit: String,
    figure: String,
    goal: String,
    reached: bool,
}

pub(crate) struct Table {
    rows: Vec<Row>,
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The value that `percent` of the others do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { rows: Vec::new() }
    }

    /// Rates of pairs that were measured in turn; the ratio is the median of the pairs' ratios.
    pub(crate) fn ratio(&mut self, what: &str, ours: &[f64], limit: &[f64], unit: &str, goal: f64) {
        let ratios: Vec<f64> = ours.iter().zip(limit).map(|(ours, limit)| ours / limit).collect();
        let ratio = median(&ratios);
        println!("{what}: ratios of the pairs {ratios:.2?}");
        self.rows.push(Row {
            what: what.to_owned(),
            ours: format!("{:.1} k {unit}", median(ours) / 1000.0),
            limit: format!("{:.1} k {unit}", median(limit) / 1000.0),
            figure: format!("{ratio:.2}"),
            goal: format!("≥ {goal:.2}"),
            reached: ratio >= goal,
        });
    }

    /// A figure that must stay below something.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, unit: &str, goal: f64) {
        self.at_most_beside(what, value, unit, "", goal);
    }

    /// The same with what was measured beside it.
    pub(crate) fn at_most_beside(
        &mut self,
        what: &str,
        value: f64,
        unit: &str,
        beside: &str,
        goal: f64,
    ) {
        self.rows.push(Row {
            what: what.to_owned(),
            ours: format!("{value:.1} {unit}"),
            limit: beside.to_owned(),
            figure: String::new(),
            goal: format!("≤ {goal:.0} {unit}"),
            reached: value <= goal,
        });
    }

    /// A figure that must reach something.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, goal: f64) {
        self.rows.push(Row {
            what: what.to_owned(),
            ours: format!("{value:.0}"),
            limit: String::new(),
            figure: String::new(),
            goal: format!("≥ {goal:.0}"),
            reached: value >= goal,
        });
    }

    pub(crate) fn all_reached(&self) -> bool {
        self.rows.iter().all(|row| row.reached)
    }

    pub(crate) fn print(&self) {
        println!("\n| what | ours | limit beside it | ratio | goal | reached |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for Row { what, ours, limit, figure, goal, reached } in &self.rows {
            let reached = if *reached { "yes" } else { "NO" };
            println!("| {what} | {ours} | {limit} | {figure} | {goal} | {reached} |");
        }
    }
}
