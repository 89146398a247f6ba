//! Postgres' binary COPY format: rows written and read without a query in between.
//!
//! Layouts are those of the manual's page on COPY and of the types' `_send` functions. It has only
//! the types of the ledger and the metrics.

use bytes::{Buf, BufMut, BytesMut};
use ledger_core::{Decimal8, Money, Timestamp};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Microseconds from the Unix epoch to Postgres' epoch, 2000-01-01.
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_POSITIVE: u16 = 0x0000;
/// Four decimal digits in each of Postgres' digits, eight after the point.
const NUMERIC_BASE: u128 = 10_000;
const NUMERIC_SCALE: u16 = 8;
/// 39 decimal digits at most, so ten base-10000 digits.
const NUMERIC_DIGITS_MAX: usize = 10;

/// Rows on their way to Postgres.
pub(crate) struct CopyWriter {
    buffer: BytesMut,
}

impl CopyWriter {
    pub(crate) fn with_capacity(bytes: usize) -> CopyWriter {
        let mut buffer = BytesMut::with_capacity(bytes + 32);
        buffer.put_slice(SIGNATURE);
        // Flags and the length of the header's extension: none.
        buffer.put_i32(0);
        buffer.put_i32(0);
        CopyWriter { buffer }
    }

    pub(crate) fn row(&mut self, fields: i16) {
        self.buffer.put_i16(fields);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.buffer.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.buffer.put_slice(value);
    }

    pub(crate) fn int8(&mut self, value: i64) {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
    }

    pub(crate) fn int4(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.buffer.put_i32(1);
        self.buffer.put_u8(u8::from(value));
    }

    pub(crate) fn timestamp(&mut self, value: Timestamp) {
        self.int8(value.micros() - EPOCH_OFFSET_MICROS);
    }

    pub(crate) fn numeric(&mut self, units: i128) {
        let length_at = self.buffer.len();
        self.buffer.put_i32(0);
        put_numeric(&mut self.buffer, units);
        let length = i32::try_from(self.buffer.len() - length_at - 4).unwrap_or(0);
        self.buffer[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn finish(mut self) -> bytes::Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }
}

/// Units of 10⁻⁸ as a binary numeric.
pub(crate) fn put_numeric(out: &mut impl BufMut, units: i128) {
    let mut digits = [0u16; NUMERIC_DIGITS_MAX];
    let mut count = 0;
    let mut rest = units.unsigned_abs();
    while rest > 0 {
        digits[count] = u16::try_from(rest % NUMERIC_BASE).unwrap_or(0);
        rest /= NUMERIC_BASE;
        count += 1;
    }
    // Two digits stand behind the point, so the first one's weight is the count less three.
    let weight = i16::try_from(count).unwrap_or(0) - 3;
    let sign = if units < 0 { NUMERIC_NEGATIVE } else { NUMERIC_POSITIVE };
    out.put_u16(u16::try_from(count).unwrap_or(0));
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(NUMERIC_SCALE);
    for digit in digits[..count].iter().rev() {
        out.put_u16(*digit);
    }
}

/// The units of 10⁻⁸ in a binary numeric; `None` for NaN, infinity, and finer or larger values.
pub(crate) fn numeric_units(mut value: &[u8]) -> Option<i128> {
    if value.len() < 8 {
        return None;
    }
    let count = value.get_u16();
    let weight = i32::from(value.get_i16());
    let sign = value.get_u16();
    let _scale = value.get_u16();
    if value.len() != usize::from(count) * 2 {
        return None;
    }
    let mut units: i128 = 0;
    for position in 0..i32::from(count) {
        let digit = i128::from(value.get_u16());
        // Exponent of this digit in base 10000, counted from 10⁻⁸.
        let exponent = u32::try_from(weight - position + 2).ok()?;
        let factor = 10_000i128.checked_pow(exponent)?;
        units = units.checked_add(digit.checked_mul(factor)?)?;
    }
    match sign {
        NUMERIC_POSITIVE => Some(units),
        NUMERIC_NEGATIVE => Some(-units),
        _ => None,
    }
}

/// [`numeric_units`] within `numeric(18,8)`.
pub(crate) fn decimal(raw: Option<&[u8]>) -> Option<Decimal8> {
    let units = raw.and_then(numeric_units)?;
    Decimal8::from_units(i64::try_from(units).ok()?)
}

pub(crate) fn money(raw: Option<&[u8]>) -> Option<Money> {
    Money::from_units(decimal(raw)?.units())
}

pub(crate) fn int8(raw: Option<&[u8]>) -> Option<i64> {
    Some(i64::from_be_bytes(raw?.try_into().ok()?))
}

pub(crate) fn text(raw: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(raw).ok()?.to_owned())
}

pub(crate) fn bool(raw: Option<&[u8]>) -> Option<bool> {
    Some(raw? != [0])
}

pub(crate) fn int4(raw: Option<&[u8]>) -> Option<i32> {
    Some(i32::from_be_bytes(raw?.try_into().ok()?))
}

/// The instant of a binary timestamptz; `None` for infinity.
pub(crate) fn timestamp_of(value: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(value.try_into().ok()?);
    Timestamp::from_micros(micros.checked_add(EPOCH_OFFSET_MICROS)?)
}

/// The fields of one COPY row, `None` where a value is NULL.
pub(crate) fn fields<const N: usize>(row: &[u8]) -> Option<[Option<&[u8]>; N]> {
    let (count, mut row) = row.split_first_chunk()?;
    if usize::try_from(i16::from_be_bytes(*count)) != Ok(N) {
        return None;
    }
    let mut found = [None; N];
    for field in &mut found {
        (*field, row) = next_field(row)?;
    }
    Some(found)
}

/// The next field, which may be NULL, and the rest, if the field is complete.
fn next_field(row: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, behind) = row.split_first_chunk()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok();
    let (value, behind) = behind.split_at_checked(length.unwrap_or(0))?;
    Some((length.map(|_| value), behind))
}

/// Splits what arrives of a COPY into rows: Postgres sends one message for each row, but the
/// protocol does not guarantee it.
#[derive(Default)]
pub(crate) struct CopyReader {
    buffer: BytesMut,
    past_header: bool,
}

impl CopyReader {
    /// Feeds one message and passes each complete row to `row`.
    pub(crate) fn feed<E>(
        &mut self,
        message: &[u8],
        mut row: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // The usual case: nothing left over and exactly one row in the message.
        if self.past_header && self.buffer.is_empty() && row_length(message) == Some(message.len())
        {
            return row(message);
        }
        self.buffer.extend_from_slice(message);
        if !self.past_header {
            const HEADER: usize = SIGNATURE.len() + 8;
            if self.buffer.len() < HEADER {
                return Ok(());
            }
            self.buffer.advance(HEADER);
            self.past_header = true;
        }
        while let Some(length) = row_length(&self.buffer) {
            let one = self.buffer.split_to(length);
            row(&one)?;
        }
        Ok(())
    }
}

/// The length of the first row in `data`; `None` if it is not whole, or is the end marker.
fn row_length(data: &[u8]) -> Option<usize> {
    let (count, mut rest) = data.split_first_chunk()?;
    for _ in 0..usize::try_from(i16::from_be_bytes(*count)).ok()? {
        (_, rest) = next_field(rest)?;
    }
    Some(data.len() - rest.len())
}

/// An instant as a parameter of type timestamptz.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl ToSql for Instant {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_i64(self.0.micros() - EPOCH_OFFSET_MICROS);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// A raw binary value of any type, for reading columns without a conversion in between.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> tokio_postgres::types::FromSql<'a> for Raw<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numerics_survive_the_round_trip(units in any::<i64>().prop_map(i128::from)) {
            let mut out = BytesMut::new();
            put_numeric(&mut out, units);
            prop_assert_eq!(numeric_units(&out), Some(units));
        }

        #[test]
        fn rows_are_found_wherever_messages_are_cut(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cut in 1usize..50,
        ) {
            let mut writer = CopyWriter::with_capacity(64);
            for row in &rows {
                writer.row(1);
                writer.bytes(row);
            }
            let mut reader = CopyReader::default();
            let mut found = Vec::new();
            for message in writer.finish().chunks(cut) {
                reader.feed::<()>(message, |row| {
                    found.push(fields::<1>(row).unwrap()[0].unwrap().to_vec());
                    Ok(())
                }).unwrap();
            }
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn nonsense_is_no_number_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = numeric_units(&bytes);
            let _ = fields::<3>(&bytes);
            let _ = timestamp_of(&bytes);
        }
    }

    #[test]
    fn not_a_number_is_not_read_as_one() {
        // NaN as numeric_send writes it: no digits, sign 0xC000.
        assert_eq!(numeric_units(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), None);
    }
}
