//! The outside world of a simulation: a price, stars, temperatures, headlines and articles, all of
//! them functions of the seed and the time.
//!
//! Nothing here has a state. The same question gets the same answer however often and by whomever it
//! is asked, so that the feeds that decide a market and the agents that guess at it see one world.

use ledger_core::criteria::{City, Criteria, Degrees, Place, weather_instant};
use ledger_core::market::{MarketSource, Side};
use ledger_core::subject::{Keyword, Repository};
use ledger_core::{Money, Price, Timestamp};

use crate::dice::{mix, roll, roll_signed, word};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const QUARTER: i64 = 900;

const REPOSITORIES: [&str; 12] = [
    "acme/anvil",
    "acme/rocket",
    "borealis/lantern",
    "borealis/compass",
    "cinder/forge",
    "cinder/bellows",
    "delta/ferry",
    "ember/kettle",
    "fjord/ledger",
    "grove/acorn",
    "harbour/crane",
    "isle/beacon",
];
const KEYWORDS: [&str; 16] = [
    "AI",
    "chip",
    "robot",
    "privacy",
    "cloud",
    "phone",
    "battery",
    "browser",
    "satellite",
    "quantum",
    "drone",
    "game",
    "startup",
    "patent",
    "outage",
    "keyboard",
];
const HEADLINES: [&str; 6] = [
    "Why {} matters this year",
    "A new {} from an old garage",
    "The {} nobody asked for",
    "Regulators look at {} again",
    "What {} costs by now",
    "{}: a field report",
];
/// Name, north and east in hundredths of a degree.
const CITIES: [(&str, i64, i64); 12] = [
    ("Berlin", 5_252, 1_341),
    ("London", 5_151, -13),
    ("New York", 4_071, -7_401),
    ("Tokyo", 3_568, 13_969),
    ("Sydney", -3_387, 15_121),
    ("Nairobi", -129, 3_682),
    ("Mumbai", 1_908, 7_288),
    ("Cairo", 3_004, 3_124),
    ("Singapore", 135, 10_382),
    ("Chicago", 4_188, -8_763),
    ("Madrid", 4_042, -370),
    ("Seoul", 3_757, 12_698),
];
const ADJECTIVES: [&str; 20] = [
    "Amber",
    "Broken",
    "Crooked",
    "Distant",
    "Early",
    "Forgotten",
    "Gilded",
    "Hollow",
    "Iron",
    "Jagged",
    "Late",
    "Marble",
    "Northern",
    "Old",
    "Pale",
    "Quiet",
    "Red",
    "Silver",
    "Tall",
    "Upper",
];
const NOUNS: [&str; 20] = [
    "Abbey",
    "Bridge",
    "Canal",
    "Dam",
    "Estate",
    "Fort",
    "Gate",
    "Harbour",
    "Island",
    "Junction",
    "Kiln",
    "Lighthouse",
    "Mill",
    "Nursery",
    "Observatory",
    "Pier",
    "Quarry",
    "Railway",
    "School",
    "Tower",
];
const PLACES: [&str; 20] = [
    "Aldern",
    "Brackwater",
    "Coldfell",
    "Dunmarsh",
    "Eastmoor",
    "Fenwick",
    "Greyhaven",
    "Highcombe",
    "Inverlea",
    "Jutwick",
    "Kelbrook",
    "Longmere",
    "Millbeck",
    "Netherby",
    "Oxley",
    "Pendle",
    "Quarndon",
    "Ravensea",
    "Stonecross",
    "Thornby",
];

/// A city and where it is.
#[derive(Debug, Clone)]
pub struct Town {
    pub city: City,
    pub place: Place,
}

/// A headline as its publisher dates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    pub title: String,
    pub published_at: Timestamp,
    pub keyword: usize,
}

/// An article of the encyclopaedia.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    pub title: String,
    pub page_id: u64,
}

/// How a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Answers,
    /// It fails on its side, for minutes, or for longer than markets wait.
    Fails,
    /// It wants to be left alone for so many seconds.
    SlowDown(i64),
}

/// What can be known about the world from the seed alone.
#[derive(Debug, Clone)]
pub struct World {
    seed: u64,
    start: Timestamp,
    repositories: Vec<Repository>,
    keywords: Vec<Keyword>,
    towns: Vec<Town>,
    /// In cents, a minute each.
    prices: Vec<i64>,
    /// Stars of each repository, an hour each.
    stars: Vec<Vec<i64>>,
}

impl World {
    /// The world from `start` on, known for `seconds` and some hours more.
    #[must_use]
    pub fn new(seed: u64, start: Timestamp, seconds: i64) -> World {
        let hours = seconds / HOUR + 12;
        World {
            seed,
            start,
            repositories: REPOSITORIES
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            keywords: KEYWORDS
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            towns: CITIES.iter().filter_map(town).collect(),
            prices: walk(seed, hours * 60),
            stars: (0..REPOSITORIES.len())
                .map(|place| growth(seed, place, hours))
                .collect(),
        }
    }

    #[must_use]
    pub fn repositories(&self) -> &[Repository] {
        &self.repositories
    }

    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    #[must_use]
    pub fn towns(&self) -> &[Town] {
        &self.towns
    }

    fn seconds(&self, at: Timestamp) -> i64 {
        at.seconds_since(self.start)
    }

    /// The price of the coin, in cents.
    #[must_use]
    pub fn cents(&self, at: Timestamp) -> i64 {
        between(&self.prices, self.seconds(at), MINUTE)
    }

    /// The price of the coin. Cents never leave the range of money.
    #[must_use]
    pub fn price(&self, at: Timestamp) -> Option<Price> {
        Price::new(Money::from_units(self.cents(at).checked_mul(1_000_000)?)?).ok()
    }

    /// Stars of a repository; `None` for one that does not exist.
    #[must_use]
    pub fn stars(&self, repository: &Repository, at: Timestamp) -> Option<i64> {
        let place = self.repositories.iter().position(|one| one == repository)?;
        Some(between(self.stars.get(place)?, self.seconds(at), HOUR))
    }

    /// The temperature at a place in tenths of a degree, as it is known each quarter of an hour.
    #[must_use]
    pub fn tenths(&self, place: Place, at: Timestamp) -> i64 {
        let quarter = self.seconds(at).div_euclid(QUARTER);
        let name = word(&format!("{} {}", place.latitude, place.longitude));
        let words = |what: &str, more: u64| [self.seed, word(what), name, more];
        let mean = roll_signed(250, &words("mean", 0)) - 20;
        let swing = 30 + roll_signed(50, &words("swing", 0));
        // A day as a triangle: coldest at its ends, warmest in its middle.
        let noon = roll_signed(86_400, &words("noon", 0));
        let of_day = (quarter * QUARTER + noon).rem_euclid(DAY);
        let day = swing - (of_day - DAY / 2).abs() * 2 * swing * 2 / DAY;
        let gust = roll_signed(21, &words("gust", quarter.unsigned_abs())) - 10;
        mean + day + gust
    }

    /// The headlines of the last hours, newest first, at most `max`.
    #[must_use]
    pub fn headlines(&self, now: Timestamp, max: usize) -> Vec<Headline> {
        let minute = self.seconds(now).div_euclid(MINUTE);
        (0..240)
            .filter_map(|back| self.headline(minute - back))
            .filter(|headline| headline.published_at <= now)
            .take(max)
            .collect()
    }

    /// What is published in a minute; every other one passes without.
    fn headline(&self, minute: i64) -> Option<Headline> {
        let words = |what: &str| [self.seed, word(what), minute.cast_unsigned()];
        if roll(2, &words("published")) == 0 {
            return None;
        }
        let place = |below: usize, what: &str| {
            let below = u64::try_from(below).unwrap_or(0);
            usize::try_from(roll(below, &words(what))).unwrap_or(0)
        };
        let keyword = place(KEYWORDS.len(), "keyword");
        let second = roll_signed(60, &words("second"));
        let pattern = HEADLINES.get(place(HEADLINES.len(), "pattern"))?;
        Some(Headline {
            title: pattern.replace("{}", KEYWORDS.get(keyword)?),
            published_at: self.start.plus_seconds(minute * MINUTE + second),
            keyword,
        })
    }

    /// The article that a draw picks.
    #[must_use]
    pub fn article(&self, draw: u64) -> Article {
        let pick = |from: &[&'static str], what: &str| {
            let below = u64::try_from(from.len()).unwrap_or(0);
            let place = usize::try_from(roll(below, &[draw, word(what)])).unwrap_or(0);
            from.get(place).copied().unwrap_or_default()
        };
        let title = format!(
            "{} {} of {}",
            pick(&ADJECTIVES, "adjective"),
            pick(&NOUNS, "noun"),
            pick(&PLACES, "place")
        );
        let page_id = self.page_id(&title);
        Article { title, page_id }
    }

    /// The page id of an article: what research asks for.
    #[must_use]
    pub fn page_id(&self, title: &str) -> u64 {
        1_000 + roll(70_000_000, &[self.seed, word("page"), word(title)])
    }

    /// Whether a source answers. Each fails for some minutes now and then, and once a day one of
    /// those that decide markets is silent for longer than these are waited for.
    #[must_use]
    pub fn doing(&self, source: MarketSource, now: Timestamp) -> Condition {
        let seconds = self.seconds(now);
        let (day, hour) = (seconds.div_euclid(DAY), seconds.div_euclid(HOUR));
        let today = |what: &str| [self.seed, word(what), day.cast_unsigned()];
        let silent = [
            MarketSource::Github,
            MarketSource::Weather,
            MarketSource::News,
        ]
        .get(usize::try_from(roll(3, &today("silent"))).unwrap_or(0))
        .copied();
        let from = (4 + roll_signed(10, &today("from"))) * HOUR;
        if silent == Some(source) && (from..from + 8 * HOUR).contains(&seconds.rem_euclid(DAY)) {
            return Condition::Fails;
        }
        let name = word(source.as_str());
        let words = |what: &str| [self.seed, word(what), name, hour.cast_unsigned()];
        let begins = roll_signed(3_000, &words("begins"));
        let lasts = 60 + roll_signed(900, &words("lasts"));
        if !(begins..begins + lasts).contains(&seconds.rem_euclid(HOUR)) {
            return Condition::Answers;
        }
        match roll(8, &words("fails")) {
            0 => Condition::Fails,
            1 => Condition::SlowDown(lasts),
            _ => Condition::Answers,
        }
    }

    /// How a market of yes and no will end if its source answers: what agents with foresight know.
    #[must_use]
    pub fn truth(
        &self,
        criteria: &Criteria,
        opens: Timestamp,
        deadline: Timestamp,
    ) -> Option<Side> {
        let holds = match criteria {
            Criteria::Github(c) => c
                .comparison
                .holds(&self.stars(&c.repository, deadline)?, &c.stars),
            Criteria::Weather(c) => {
                let tenths = self.tenths(c.place(), weather_instant(deadline));
                c.comparison.holds(&tenths, &c.celsius.checked_mul(10)?)
            }
            Criteria::News(c) => {
                let keyword = self.keywords.iter().position(|one| one == &c.keyword)?;
                self.headlines(deadline, usize::MAX)
                    .iter()
                    .any(|headline| headline.keyword == keyword && headline.published_at >= opens)
            }
            Criteria::Research(_) => return None,
        };
        Some(if holds { Side::Yes } else { Side::No })
    }
}

fn town((name, north, east): &(&str, i64, i64)) -> Option<Town> {
    let degrees = |hundredths: &i64| {
        let sign = if *hundredths < 0 { "-" } else { "" };
        let size = hundredths.unsigned_abs();
        format!("{sign}{}.{:02}", size / 100, size % 100)
            .parse::<Degrees>()
            .ok()
    };
    Some(Town {
        city: name.parse().ok()?,
        place: Place {
            latitude: degrees(north)?,
            longitude: degrees(east)?,
        },
    })
}

/// The value of a series at a time, in a straight line between its points; its ends go on for ever.
fn between(points: &[i64], seconds: i64, step: i64) -> i64 {
    let seconds = seconds.max(0);
    let place = usize::try_from(seconds.div_euclid(step)).unwrap_or(usize::MAX);
    let last = points.last().copied().unwrap_or(0);
    let here = points.get(place).copied().unwrap_or(last);
    let next = points.get(place.saturating_add(1)).copied().unwrap_or(last);
    here + (next - here) * seconds.rem_euclid(step) / step
}

/// A walk that leans one way for a while and then another, so that following it is worth something
/// and not much.
fn walk(seed: u64, minutes: i64) -> Vec<i64> {
    let (mut cents, mut lean, mut until) = (6_000_000_i64, 0, 0);
    let mut prices = Vec::new();
    for minute in 0..minutes {
        prices.push(cents);
        let words = |what: &str| [seed, word(what), minute.cast_unsigned()];
        if minute >= until {
            until = minute + 15 + roll_signed(75, &words("until"));
            lean = roll_signed(1_201, &words("lean")) - 600;
        }
        // Four dice are nearly a bell: a deviation of some 23 dollars a minute.
        let bell: i64 = ["a", "b", "c", "d"]
            .iter()
            .map(|die| roll_signed(4_001, &words(die)) - 2_000)
            .sum();
        cents = (cents + lean + bell).clamp(1_000_000, 20_000_000);
    }
    prices
}

fn growth(seed: u64, place: usize, hours: i64) -> Vec<i64> {
    let name = u64::try_from(place).unwrap_or(0);
    let mut stars = 500 + i64::try_from(mix(&[seed, word("stars"), name]) % 80_000).unwrap_or(0);
    (0..hours)
        .map(|hour| {
            let now = stars;
            stars += roll_signed(700, &[seed, word("growth"), name, hour.cast_unsigned()]);
            now
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(seed: u64) -> World {
        let start = Timestamp::from_micros(crate::clock::START_MICROS).unwrap();
        World::new(seed, start, 100_000)
    }

    fn at(world: &World, seconds: i64) -> Timestamp {
        world.start.plus_seconds(seconds)
    }

    #[test]
    fn names_are_what_the_arena_accepts() {
        let world = world(1);
        assert_eq!(world.repositories.len(), REPOSITORIES.len());
        assert_eq!(world.keywords.len(), KEYWORDS.len());
        assert_eq!(world.towns.len(), CITIES.len());
    }

    #[test]
    fn one_seed_is_one_world_and_another_another() {
        let (one, same, other) = (world(1), world(1), world(2));
        for seconds in [0, 59, 3_601, 90_000] {
            let now = at(&one, seconds);
            assert_eq!(one.price(now), same.price(now));
            assert_eq!(one.headlines(now, 50), same.headlines(now, 50));
        }
        assert_ne!(one.cents(at(&one, 9_000)), other.cents(at(&other, 9_000)));
    }

    #[test]
    fn temperatures_are_of_this_earth_and_move() {
        let world = world(3);
        for town in world.towns() {
            let day: Vec<i64> = (0..96)
                .map(|q| world.tenths(town.place, at(&world, q * 900)))
                .collect();
            assert!(
                day.iter().all(|tenths| (-300..=500).contains(tenths)),
                "{day:?}"
            );
            assert!(day.iter().max() > day.iter().min());
        }
    }

    #[test]
    fn a_source_is_silent_for_longer_than_markets_are_waited_for() {
        let world = world(1);
        let longest = |source| {
            let (mut run, mut longest) = (0, 0);
            for minute in 0..1_440 {
                let fails = world.doing(source, at(&world, minute * 60)) == Condition::Fails;
                run = if fails { run + 1 } else { 0 };
                longest = longest.max(run);
            }
            longest
        };
        let sources = [
            MarketSource::Github,
            MarketSource::Weather,
            MarketSource::News,
        ];
        assert_eq!(
            sources
                .iter()
                .filter(|source| longest(**source) > 7 * 60)
                .count(),
            1
        );
    }
}
