//! A recorded price history, played in a loop.
//!
//! The place in the recording depends only on the wall clock (seconds since 1970 modulo the recording's length),
//! so that every oracle, restarted or not, plays the same price at the same moment. Times of the recording are
//! never shown: a quote's time is now.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::Timestamp;
use ledger_core::money::{MoneyError, Price};
use ledger_core::prediction::PriceSource;
use ledger_core::time::TimestampError;

use super::{FeedError, History, PriceFeed, PriceTextError, Quote, by_the_minute, whole_second};

/// The most rows a recording may have: two years of minutes.
pub const ROWS_MAX: usize = 1_100_000;

/// The replaying feed.
pub struct Replay {
    /// Ascending times, at least two.
    rows: Vec<(Timestamp, Price)>,
    /// From the first row to the last, in microseconds; above zero.
    span_micros: i64,
}

/// Why a file is no recording. Lines count from 1, the header's.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("line 1 must be the header at,price")]
    Header,
    #[error("line {line} is not a CSV record of two fields, at,price")]
    Record { line: u64 },
    #[error("line {line}: at {problem}")]
    At { line: u64, problem: TimestampError },
    #[error("line {line}: price {problem}")]
    Price { line: u64, problem: MoneyError },
    #[error("line {line}: at must be later than in the line before")]
    NotAscending { line: u64 },
    #[error("it must have at least two rows besides the header")]
    TooShort,
    #[error("it must have at most {ROWS_MAX} rows")]
    TooLong,
}

impl Replay {
    /// Reads and checks a recording: header `at,price`, RFC 3339 times in ascending order, prices
    /// above zero as plain decimals.
    pub fn open(path: &Path) -> Result<Replay, ReplayError> {
        Replay::read(File::open(path)?)
    }

    /// Like [`Replay::open`], from any reader.
    pub fn read(input: impl Read) -> Result<Replay, ReplayError> {
        let mut lines = BufReader::new(input).lines().zip(1_u64..);
        let header = lines.next().map(|(text, line)| record(text, line)).transpose()?;
        if header.is_none_or(|fields| fields != ["at", "price"]) {
            return Err(ReplayError::Header);
        }
        let mut rows: Vec<(Timestamp, Price)> = Vec::new();
        for (text, line) in lines {
            let [at, price] = record(text, line)?;
            let at = at.parse().map_err(|problem| ReplayError::At { line, problem })?;
            let price = price.parse().map_err(|problem| ReplayError::Price { line, problem })?;
            if rows.last().is_some_and(|last| last.0 >= at) {
                return Err(ReplayError::NotAscending { line });
            }
            if rows.len() == ROWS_MAX {
                return Err(ReplayError::TooLong);
            }
            rows.push((at, price));
        }
        match rows.as_slice() {
            [first, .., last] => {
                let span_micros = last.0.micros() - first.0.micros();
                Ok(Replay { rows, span_micros })
            }
            _ => Err(ReplayError::TooShort),
        }
    }

    /// The price that is played at a time: that of the last row not after the place in the
    /// recording.
    pub fn price_at(&self, at: Timestamp) -> Option<Price> {
        let first = self.rows.first()?;
        let place = first.0.micros() + whole_second(at).micros().rem_euclid(self.span_micros);
        let after = self.rows.partition_point(|row| row.0.micros() <= place);
        self.rows.get(after.checked_sub(1)?).map(|row| row.1)
    }
}

/// The two fields of a line, without the quotes that some programs put around each. Neither a time nor a price
/// can contain a comma or a quote, so CSV needs no further rules here.
fn record(text: io::Result<String>, line: u64) -> Result<[String; 2], ReplayError> {
    let text = text.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => ReplayError::Record { line },
        _ => ReplayError::Io(error),
    })?;
    match text.split_once(',') {
        Some((at, price)) if !price.contains(',') => {
            Ok([at, price].map(|field| unquoted(field).to_owned()))
        }
        _ if line == 1 => Err(ReplayError::Header),
        _ => Err(ReplayError::Record { line }),
    }
}

fn unquoted(field: &str) -> &str {
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}

#[async_trait]
impl PriceFeed for Replay {
    fn source(&self) -> PriceSource {
        PriceSource::Replay
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let provider_at = whole_second(now);
        let price = self.price_at(provider_at);
        let price = price.ok_or(FeedError::Price(PriceTextError::NotANumber))?;
        Ok(Quote { price, provider_at })
    }

    async fn history(&self, span: Span, _now: Timestamp) -> Result<History, FeedError> {
        Ok(by_the_minute(span, |at| self.price_at(at)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORDING: &str = "at,price\n\
        2026-01-01T00:00:00Z,100.00\n\
        2026-01-01T00:01:00Z,101.50\n\
        2026-01-01T00:02:00Z,99\n";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn problem(text: &str) -> String {
        Replay::read(text.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn it_plays_by_the_clock_and_begins_again() {
        let replay = Replay::read(RECORDING.as_bytes()).unwrap();
        // A multiple of the recording's 120 s.
        let start = 1_771_200_000;
        for (offset, price) in [
            (0, "100.00000000"),
            (59, "100.00000000"),
            (60, "101.50000000"),
            (119, "101.50000000"),
            (120, "100.00000000"),
            (181, "101.50000000"),
            (-1, "101.50000000"),
        ] {
            let played = replay.price_at(at(start + offset)).unwrap();
            assert_eq!(played.to_string(), price, "{offset}");
        }
    }

    #[tokio::test]
    async fn a_quote_is_of_now_in_whole_seconds() {
        let replay = Replay::read(RECORDING.as_bytes()).unwrap();
        let now = Timestamp::from_micros(1_771_200_061_750_000).unwrap();
        let quote = replay.quote(now).await.unwrap();
        assert_eq!(quote.provider_at, at(1_771_200_061));
        assert_eq!(quote.price.to_string(), "101.50000000");
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line() {
        let row = "2026-01-01T00:00:00Z,100.00\n";
        for (text, wanted) in [
            (String::new(), "line 1 must be the header at,price"),
            ("at;price\n".to_owned(), "line 1 must be the header at,price"),
            ("price,at\n".to_owned(), "line 1 must be the header at,price"),
            (row.to_owned(), "line 1 must be the header at,price"),
            ("at,price\n".to_owned(), "it must have at least two rows besides the header"),
            (format!("at,price\n{row}"), "it must have at least two rows besides the header"),
            (
                format!("at,price\n{row}2026-01-01T00:01:00Z\n"),
                "line 3 is not a CSV record of two fields, at,price",
            ),
            (
                format!("at,price\n{row}2026-01-01T00:01:00Z,1,2\n"),
                "line 3 is not a CSV record of two fields, at,price",
            ),
            (format!("at,price\n\n{row}"), "line 2 is not a CSV record of two fields, at,price"),
            (format!("at,price\n{row}{row}"), "line 3: at must be later than in the line before"),
            (
                format!("at,price\n{row}2025-12-31T00:00:00Z,1\n"),
                "line 3: at must be later than in the line before",
            ),
        ] {
            assert_eq!(problem(&text), wanted, "{text}");
        }
        for price in ["0", "-1", "NaN", "", "1e5", "1.123456789", "99999999999", " 5"] {
            let text = format!("at,price\n{row}2026-01-01T00:01:00Z,{price}\n");
            assert!(problem(&text).starts_with("line 3: price must"), "{price}");
        }
        for time in ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01 00:01:00", "1771200000"] {
            let text = format!("at,price\n{row}{time},1\n");
            assert!(problem(&text).starts_with("line 3: at must"), "{time}");
        }
    }

    #[test]
    fn quotes_and_windows_line_ends_do_not_matter() {
        let text = "\"at\",\"price\"\r\n\"2026-01-01T00:00:00Z\",\"1.5\"\r\n2026-01-01T00:01:00Z,2";
        let replay = Replay::read(text.as_bytes()).unwrap();
        assert_eq!(replay.price_at(at(0)).unwrap().to_string(), "1.50000000");
    }

    #[test]
    fn a_file_that_is_not_text_is_refused() {
        let bytes = b"at,price\n\xff\xfe,1\n";
        let error = Replay::read(bytes.as_slice()).err().unwrap().to_string();
        assert_eq!(error, "line 2 is not a CSV record of two fields, at,price");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error = Replay::open(Path::new("/nowhere/at/all.csv")).err().unwrap();
        assert!(matches!(error, ReplayError::Io(_)), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_file_makes_it_panic(
            header in prop_oneof![4 => Just("at,price".to_owned()), 1 => "\\PC{0,20}"],
            lines in prop::collection::vec(
                prop_oneof![
                    3 => (0..10_000_i64, "[0-9]{1,12}(\\.[0-9]{1,9})?")
                        .prop_map(|(seconds, price)| format!("{},{price}", at(seconds))),
                    1 => "\\PC{0,30}",
                ],
                0..6,
            ),
            now in any::<i64>(),
        ) {
            let text = format!("{header}\n{}", lines.join("\n"));
            if let (Ok(replay), Some(now)) = (Replay::read(text.as_bytes()), Timestamp::from_micros(now)) {
                prop_assert!(replay.price_at(now).is_some(), "a sound recording plays at any time");
            }
        }
    }
}
