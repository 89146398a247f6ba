//! The edge where the arena's types meet Postgres' types.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytes::BytesMut;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Numeric;
use diesel_async::RunQueryDsl;
use ledger_core::Decimal8;
use ledger_core::economy::{BotStatus, Enforcement};
use ledger_core::entry_types::EntryType;
use ledger_core::market::{BetState, MarketStatus, Side};
use ledger_core::money::{Money, SCALE};
use ledger_core::post::PostKind;
use ledger_core::prediction::{Direction, PredictionStatus, PriceSource};
use tokio_postgres::types::Type;

use crate::copy::put_numeric;
use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::sql_types;

macro_rules! sql_number {
    ($($wrapper:ident wraps $number:ident;)+) => {$(
        /// The number as `numeric(18,8)`; here alone it is a [`BigDecimal`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
        #[diesel(sql_type = Numeric)]
        pub(crate) struct $wrapper(pub(crate) $number);

        impl From<$wrapper> for $number {
            fn from(sql: $wrapper) -> $number {
                sql.0
            }
        }

        impl ToSql<Numeric, Pg> for $wrapper {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                write_numeric(self.0.units().into(), out)
            }
        }

        impl FromSql<Numeric, Pg> for $wrapper {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<$wrapper> {
                let units = i64::try_from(read_numeric(value)?)?;
                $number::from_units(units).map($wrapper).ok_or_else(|| NO_NUMBER.into())
            }
        }
    )+};
}

sql_number! {
    SqlMoney wraps Money;
    SqlDecimal wraps Decimal8;
}

/// Digits after the point, as the decimal library counts them.
const MONEY_SCALE: i64 = SCALE as i64;

const NO_NUMBER: &str = "a number that is out of range or finer than 0.00000001";

/// A total that may exceed one balance, in units of 10⁻⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Numeric)]
pub(crate) struct SqlTotal(pub(crate) i128);

impl From<SqlTotal> for i128 {
    fn from(total: SqlTotal) -> i128 {
        total.0
    }
}

impl FromSql<Numeric, Pg> for SqlTotal {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<SqlTotal> {
        read_numeric(value).map(SqlTotal)
    }
}

impl ToSql<Numeric, Pg> for SqlTotal {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_numeric(self.0, out)
    }
}

fn write_numeric(units: i128, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
    let decimal = BigDecimal::new(BigInt::from(units), MONEY_SCALE);
    ToSql::<Numeric, Pg>::to_sql(&decimal, &mut out.reborrow())
}

fn read_numeric(value: PgValue<'_>) -> deserialize::Result<i128> {
    let decimal = <BigDecimal as FromSql<Numeric, Pg>>::from_sql(value)?;
    if decimal.fractional_digit_count() > MONEY_SCALE {
        return Err(NO_NUMBER.into());
    }
    let (units, _) = decimal.with_scale(MONEY_SCALE).into_bigint_and_exponent();
    Ok(i128::try_from(units)?)
}

/// As a parameter of the ticker's own client.
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

macro_rules! sql_enum {
    ($($wrapper:ident wraps $domain:ident as $sql:ident, from $parse:expr;)+) => {$(
        /// The domain's enum, as Postgres' enum of the same labels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
        #[diesel(sql_type = sql_types::$sql)]
        pub(crate) struct $wrapper(pub(crate) $domain);

        impl ToSql<sql_types::$sql, Pg> for $wrapper {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                std::io::Write::write_all(out, self.0.as_str().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl FromSql<sql_types::$sql, Pg> for $wrapper {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<$wrapper> {
                let label = std::str::from_utf8(value.as_bytes())?;
                let parse: fn(&str) -> Option<$domain> = $parse;
                parse(label)
                    .map($wrapper)
                    .ok_or_else(|| concat!("unknown label of ", stringify!($sql)).into())
            }
        }
    )+};
}

fn labelled<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, label: &str) -> Option<T> {
    all.iter().copied().find(|value| as_str(*value) == label)
}

sql_enum! {
    SqlBotStatus wraps BotStatus as BotStatus, from |l| labelled(&BotStatus::ALL, BotStatus::as_str, l);
    SqlEntryType wraps EntryType as EntryType, from |l| EntryType::from_str(l).ok();
    SqlEnforcement wraps Enforcement as Enforcement, from |l| Enforcement::from_str(l).ok();
    SqlDirection wraps Direction as Direction, from |l| labelled(&[Direction::Up, Direction::Down], Direction::as_str, l);
    SqlPriceSource wraps PriceSource as PriceSource, from |l| PriceSource::from_str(l).ok();
    SqlPredictionStatus wraps PredictionStatus as PredictionStatus, from |l| labelled(&PredictionStatus::ALL, PredictionStatus::as_str, l);
    SqlMarketStatus wraps MarketStatus as MarketStatus, from |l| MarketStatus::from_str(l).ok();
    SqlSide wraps Side as BetSide, from |l| Side::from_str(l).ok();
    SqlBetState wraps BetState as BetState, from |l| BetState::from_str(l).ok();
    SqlPostKind wraps PostKind as PostKind, from |l| labelled(&PostKind::ALL, PostKind::as_str, l);
}

/// Postgres' clock as it is now, not as it was when the transaction began. As a subquery, which is
/// asked once: the bare function is volatile, and no index could serve a comparison with it.
pub(crate) fn clock() -> diesel::expression::SqlLiteral<diesel::sql_types::Timestamptz> {
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

/// A query with a fixed text that diesel would send to the parser each time, as it does with a
/// `sql_query` and with SQL in a query of its own: prepared once a connection and found again by its text.
///
/// Not for a text that is put together: each variant would stay prepared.
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

/// Takes one of Postgres' advisory locks until the transaction ends.
pub(crate) async fn lock(mut conn: &Connection, key: i64) -> DbResult<()> {
    AdvisoryLock { key }.execute(&mut conn).await?;
    Ok(())
}
