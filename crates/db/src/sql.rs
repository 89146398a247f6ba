//! The edge where the arena's types meet Postgres' types.

use std::fmt::Display;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytes::BytesMut;
use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, Queryable};
use diesel::dsl::{AsExprOf, AssumeNotNull};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Nullable, Numeric, SqlOrd, SqlType, Timestamptz};
use diesel_async::RunQueryDsl;
use ledger_core::economy::{BotStatus, Enforcement};
use ledger_core::entry_types::EntryType;
use ledger_core::market::{BetState, MarketStatus, Side};
use ledger_core::money::{Money, Price, SCALE};
use ledger_core::post::PostKind;
use ledger_core::prediction::{Direction, PredictionStatus, PriceSource};
use ledger_core::{Decimal8, Hash, Timestamp};
use tokio_postgres::types::Type;

use crate::connection::Connection;
use crate::copy::put_numeric;
use crate::error::{DbError, DbResult};

/// `numeric`, which is read in units of 10⁻⁸. A type of ours, so that the domain's own can be read and bound.
#[derive(Debug, Clone, Copy, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1700, array_oid = 1231))]
pub struct Units;

/// `timestamptz`, likewise.
#[derive(Debug, Clone, Copy, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185))]
pub struct Instant;

impl SqlOrd for Instant {}

/// An enum of Postgres without a type in the domain.
#[derive(QueryId, SqlType)]
#[diesel(postgres_type(name = "metric_kind"))]
pub struct MetricKind;

/// `bytea` with the digest of the rules that a row names.
#[derive(Debug, Clone, Copy, QueryId, SqlType)]
#[diesel(postgres_type(oid = 17, array_oid = 1001))]
pub struct RulesDigest;

/// A value for a column that is never NULL, in diesel's own language, which takes no foreign types. For one that
/// may be NULL, an `Option` does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql<T>(pub(crate) T);

/// Declares how a type of the domain is read from a type of Postgres, and written as one.
macro_rules! column_type {
    ($($domain:ty as $sql:ty, read by $read:expr, written by $write:expr;)+) => {$(
        impl FromSql<$sql, Pg> for $domain {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<$domain> {
                let read: fn(PgValue<'_>) -> deserialize::Result<$domain> = $read;
                read(value)
            }
        }

        impl Queryable<$sql, Pg> for $domain {
            type Row = $domain;

            fn build(row: $domain) -> deserialize::Result<$domain> {
                Ok(row)
            }
        }

        impl ToSql<$sql, Pg> for $domain {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                let write: fn($domain, &mut Output<'_, '_, Pg>) -> serialize::Result = $write;
                write(*self, out)
            }
        }

        impl AsExpression<$sql> for Sql<$domain> {
            type Expression = AssumeNotNull<AsExprOf<Option<$domain>, Nullable<$sql>>>;

            fn as_expression(self) -> Self::Expression {
                AssumeNotNull::new(AsExpression::<Nullable<$sql>>::as_expression(Some(self.0)))
            }
        }
    )+};
}

/// Declares enums of Postgres, each by the enum of the domain that has the same labels.
macro_rules! enum_type {
    ($($domain:ident as $sql:ident = $postgres:tt;)+) => {
        pub(crate) mod enums {
            $(
                #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
                #[diesel(postgres_type(name = $postgres))]
                pub struct $sql;
            )+

            /// The name of each enum in Postgres, with the labels of its type in Rust.
            pub fn enum_labels() -> Vec<(&'static str, Vec<&'static str>)> {
                vec![$(($postgres, super::$domain::ALL.map(super::$domain::as_str).to_vec())),+]
            }
        }

        column_type! {$(
            $domain as enums::$sql,
            read by |value| {
                let label = std::str::from_utf8(value.as_bytes())?;
                let unknown = |_| concat!("unknown label of ", stringify!($sql)).into();
                label.parse::<$domain>().map_err(unknown)
            },
            written by |value, out| {
                std::io::Write::write_all(out, value.as_str().as_bytes())?;
                Ok(IsNull::No)
            };
        )+}
    };
}

enum_type! {
    BotStatus as BotStatus = "bot_status";
    EntryType as EntryType = "entry_type";
    Enforcement as Enforcement = "enforcement";
    Direction as Direction = "direction";
    PriceSource as PriceSource = "price_source";
    PredictionStatus as PredictionStatus = "prediction_status";
    MarketStatus as MarketStatus = "market_status";
    Side as BetSide = "bet_side";
    BetState as BetState = "bet_state";
    PostKind as PostKind = "post_kind";
}

column_type! {
    Decimal8 as Units,
        read by |value| {
            let units = i64::try_from(read_units(value)?)?;
            Decimal8::from_units(units).ok_or_else(|| NO_NUMBER.into())
        },
        written by |value, out| write_units(value.units().into(), out);
    Money as Units,
        read by |value| {
            let decimal = Decimal8::from_sql(value)?;
            Money::from_units(decimal.units()).ok_or_else(|| NO_NUMBER.into())
        },
        written by |value, out| write_units(value.units().into(), out);
    Price as Units,
        read by |value| Ok(Price::new(Money::from_sql(value)?)?),
        written by |value, out| write_units(value.money().units().into(), out);
    Hash as RulesDigest,
        read by |value| Hash::from_slice(value.as_bytes()).ok_or_else(|| "a digest of rules".into()),
        written by |value, out| {
            std::io::Write::write_all(out, &value.0)?;
            Ok(IsNull::No)
        };
    // A total that may exceed one balance.
    i128 as Units, read by read_units, written by write_units;
    Timestamp as Instant,
        read by |value| <DateTime<Utc> as FromSql<Timestamptz, Pg>>::from_sql(value).map(Timestamp::from),
        written by |value, out| ToSql::<Timestamptz, Pg>::to_sql(&value.datetime(), &mut out.reborrow());
}

/// Digits after the point, as the decimal library counts them.
const MONEY_SCALE: i64 = SCALE as i64;

const NO_NUMBER: &str = "a number that is out of range or finer than 0.00000001";

/// As `numeric`; here alone the number is a [`BigDecimal`].
fn write_units(units: i128, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
    let decimal = BigDecimal::new(BigInt::from(units), MONEY_SCALE);
    ToSql::<Numeric, Pg>::to_sql(&decimal, &mut out.reborrow())
}

fn read_units(value: PgValue<'_>) -> deserialize::Result<i128> {
    let decimal = <BigDecimal as FromSql<Numeric, Pg>>::from_sql(value)?;
    if decimal.fractional_digit_count() > MONEY_SCALE {
        return Err(NO_NUMBER.into());
    }
    let (units, _) = decimal.with_scale(MONEY_SCALE).into_bigint_and_exponent();
    Ok(i128::try_from(units)?)
}

/// Units of 10⁻⁸ as a parameter of the ticker's own client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqlTotal(pub(crate) i128);

impl tokio_postgres::types::ToSql for SqlTotal {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        put_numeric(out, self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Postgres' clock as it is now, not as it was when the transaction began. As a subquery, which is
/// evaluated once: the bare function is volatile, so a comparison with it could not use an index.
pub(crate) fn clock() -> diesel::expression::SqlLiteral<Instant> {
    diesel::dsl::sql("(SELECT clock_timestamp())")
}

/// Declares a statement with a fixed text, `{}` where each field's value goes in order.
///
/// Diesel parses a `sql_query` each time; a query fragment with a static id is prepared once a
/// connection and found again by its type.
macro_rules! statement {
    ($(#[$meta:meta])* struct $name:ident$(<$lt:lifetime>)? {
        $($field:ident : $rust:ty as $sql:ty),* $(,)?
    } returns $ret:ty = $text:expr) => {
        $(#[$meta])*
        struct $name$(<$lt>)? { $($field: $rust),* }

        const _: () = {
            /// Stands for the statement in diesel's cache, which wants a type without lifetimes.
            pub(crate) struct Id;
            impl$(<$lt>)? diesel::query_builder::QueryId for $name$(<$lt>)? {
                type QueryId = Id;
                const HAS_STATIC_QUERY_ID: bool = true;
            }
        };

        impl$(<$lt>)? diesel::query_builder::Query for $name$(<$lt>)? {
            type SqlType = $ret;
        }

        impl$(<$lt>)? diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name$(<$lt>)? {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                let text: &'static str = $text;
                let mut pieces = text.split("{}");
                $(
                    out.push_sql(pieces.next().unwrap_or_default());
                    out.push_bind_param::<$sql, _>(&self.$field)?;
                )*
                out.push_sql(pieces.next().unwrap_or_default());
                Ok(())
            }
        }
    };
}
pub(crate) use statement;

/// A query with a fixed text, prepared once for each connection and found again by its text. Diesel
/// would parse it each time, as it does for a `sql_query` and for SQL inside a query.
///
/// Not for generated texts: each variant would stay prepared.
pub(crate) struct Prepared<Q>(Q);

pub(crate) trait Prepare: Sized {
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<Q: QueryFragment<Pg>> Prepare for Q {}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> diesel::QueryResult<bool> {
        Ok(true)
    }
}

statement! {
    struct AdvisoryLock { key: i64 as diesel::sql_types::BigInt } returns diesel::sql_types::Untyped =
    "SELECT pg_advisory_xact_lock({})"
}

/// A column of values, one a row, as a parameter of a statement for many rows.
pub(crate) fn column<'r, R: 'r, T>(
    rows: impl IntoIterator<Item = &'r R>,
    value: impl FnMut(&'r R) -> T,
) -> Vec<T> {
    rows.into_iter().map(value).collect()
}

/// Whether a statement reached as many rows as it had to.
pub(crate) fn reached(rows: usize, expected: usize, otherwise: impl Display) -> DbResult<()> {
    if rows == expected { Ok(()) } else { Err(DbError::corrupt(otherwise)) }
}

/// Takes one of Postgres' advisory locks until the transaction ends.
pub(crate) async fn lock(mut conn: &Connection, key: i64) -> DbResult<()> {
    AdvisoryLock { key }.execute(&mut conn).await?;
    Ok(())
}
