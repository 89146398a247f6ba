//! How ids, money, times and checked texts describe themselves in an OpenAPI document.
//!
//! Each schema here matches the type's parser.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ids::PriceId;
use crate::market::Taking;
use crate::sources::market_sources;
use crate::sources::research::ArticleTitle;
use crate::sources::weather::{City, Degrees};
use crate::subject::{Keyword, Repository};
use crate::{
    BetId, BotId, Confidence, Decimal8, Handle, Hash, MarketId, Money, ObservationId, PredictionId,
    Reference, TickNumber, Timestamp,
};

/// In the document such a number is [`Money`], the name that clients see.
impl PartialSchema for Decimal8 {
    fn schema() -> RefOr<Schema> {
        Money::schema()
    }
}

impl ToSchema for Decimal8 {
    fn name() -> Cow<'static, str> {
        Money::name()
    }
}

/// The accepted input for [`Money`]; output always has eight digits after the point.
const MONEY: &str = r"^-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,8})?$";

/// [`Money`] that a request puts in: never below zero.
pub enum Amount {}

/// [`Degrees`] from pole to pole.
pub enum Latitude {}

const AMOUNT: &str = r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,8})?$";

fn text(about: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about)).examples([example])
}

fn pattern(about: &str, pattern: &str, example: &str) -> Object {
    text(about, example).pattern(Some(pattern)).build()
}

fn id(about: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0_i64))
        .description(Some(about))
        .examples([12])
        .build()
}

fn uuid(about: &str) -> Object {
    text(about, "8392b9c6-c079-48c9-a6c1-ad6b48959dec")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .build()
}

macro_rules! describe {
    ($($name:ident = $schema:expr;)+) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::T(Schema::Object($schema))
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )+
    };
}

describe! {
    BotId = id("A bot, and the owner of the chain of the same number.");
    PredictionId = id("A price prediction.");
    PriceId = id("A row of the price history.");
    TickNumber = id("The number of a tick: 1, 2, 3, …; 0 before the first.");
    BetId = id("A bet on a market.");
    ObservationId = uuid("An observation of the arena gateway, valid for one action.");
    MarketId = uuid("A market.");
    Money = pattern(
        "Credits as a decimal string, never a JSON number: at most eight digits after the point are \
         read, exactly eight are written.",
        MONEY,
        "12.50000000",
    );
    Amount = pattern(
        "Credits as a decimal string, never a JSON number: not negative, at most eight digits after \
         the point.",
        AMOUNT,
        "5.00",
    );
    Confidence = pattern(
        "A probability from 0.01 to 0.99, as a decimal string.",
        r"^0\.(0[1-9][0-9]{0,6}|[1-8][0-9]{0,7}|9[0-8][0-9]{0,6}|9|990{0,6})$",
        "0.60",
    );
    Handle = pattern(
        "A bot's public name: a letter, then 2–31 of A-Z a-z 0-9 _ -. Unique without regard to case.",
        "^[A-Za-z][A-Za-z0-9_-]{2,31}$",
        "momentum-mia",
    );
    Timestamp = text("A time, RFC 3339; in answers UTC with microseconds.", "2026-11-24T00:47:03.662057Z")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build();
    Hash = pattern("SHA-256 in lower-case hex.", "^[0-9a-f]{64}$", &"0b".repeat(32));
    Reference = text("The cause of an entry or a post.", "PREDICTION:12")
        .min_length(Some(1))
        .max_length(Some(Reference::MAX_LENGTH))
        .pattern(Some("^[ -~]*$"))
        .build();
    Degrees = pattern(
        "Degrees with at most four decimals, as a decimal string.",
        r"^-?((0|[1-9][0-9]?|1[0-7][0-9])(\.[0-9]{1,4})?|180(\.0{1,4})?)$",
        "13.41",
    );
    Latitude = pattern(
        "Degrees from -90 to 90 with at most four decimals, as a decimal string.",
        r"^-?((0|[1-9]|[1-8][0-9])(\.[0-9]{1,4})?|90(\.0{1,4})?)$",
        "52.52",
    );
    City = text("A city's name on one line.", "Berlin")
        .min_length(Some(1))
        .max_length(Some(60))
        .build();
    ArticleTitle = text("The title of an article at Wikipedia, without any of # < > [ ] | { }.", "Merkle tree")
        .min_length(Some(1))
        .max_length(Some(255))
        .build();
    Repository = pattern(
        "A repository at GitHub.",
        "^[A-Za-z0-9_][A-Za-z0-9_-]{0,38}/[A-Za-z0-9_.-]{1,100}$",
        "rust-lang/rust",
    );
    Keyword = text("A word or a few, looked for in headlines as they stand.", "rust")
        .min_length(Some(1))
        .max_length(Some(50))
        .build();
}

/// A request to open a market of one source.
pub struct MarketRequestOf {
    pub name: &'static str,
    pub source: &'static str,
    /// The schema of its criteria.
    pub criteria: &'static str,
    pub takes: Taking,
}

macro_rules! market_requests {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        /// A request for each source.
        pub const MARKET_REQUESTS: &[MarketRequestOf] = &[$(MarketRequestOf {
            name: concat!(stringify!($variant), "MarketRequest"),
            source: $label,
            criteria: stringify!($criteria),
            takes: crate::sources::$module::ABOUT.takes,
        }),+];
    };
}
market_sources!(market_requests);
