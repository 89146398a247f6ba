//! The virtual clock: a row that only the driver moves.
//!
//! All decisive code gets the time from Postgres by an unqualified `clock_timestamp()`. In a
//! simulation's database another function of that name is found first, before the migrations run,
//! so that column defaults, functions and statements are bound to it as well. Nobody else needs to
//! know.

use anyhow::{Context, ensure};
use ledger_core::Timestamp;
use test_kit::Arena;
use tokio_postgres::{Client, Statement};

/// When every simulation begins, in microseconds since the Unix epoch: 2026-01-01T00:00:00Z.
pub const START_MICROS: i64 = 1_767_225_600_000_000;

/// SQL for a simulation's empty database before its migrations.
///
/// `public` comes first because objects are made in the first schema of the path; `pg_catalog` is named because
/// it would be searched before all others otherwise. The clock is constant within a statement (STABLE): it does
/// not move while one runs.
pub const INSTALL: &str = "\
CREATE SCHEMA sim;
CREATE TABLE sim.clock (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    now timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO sim.clock (now) VALUES ('2026-01-01T00:00:00Z');
CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT now FROM sim.clock); END $$;
CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT sim.clock_timestamp() $$;
GRANT USAGE ON SCHEMA sim TO PUBLIC;
GRANT SELECT ON sim.clock TO PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, sim, pg_catalog', current_database());
END $$;";

/// Functions that the migrations made with a search path of their own, which would lead past the
/// virtual clock.
const ADOPT: &str = "\
ALTER FUNCTION public.ensure_metrics_partitions(integer) SET search_path = public, sim, pg_catalog";

const ADVANCE: &str =
    "UPDATE sim.clock SET now = 'epoch'::timestamptz + $1::bigint * interval '1 microsecond'";

/// Sets the clock.
pub struct Clock {
    client: Client,
    advance: Statement,
    now: Timestamp,
}

impl Clock {
    /// Takes the clock of an arena that was migrated after [`INSTALL`].
    ///
    /// # Errors
    /// When the services' role reads another time than this clock shows.
    pub async fn of(arena: &Arena) -> anyhow::Result<Clock> {
        let client = arena.owner_client().await;
        client.batch_execute(ADOPT).await?;
        let now = Timestamp::from_micros(START_MICROS).context("the start is in the calendar")?;
        let advance = client.prepare(ADVANCE).await?;
        let clock = Clock { client, advance, now };
        let read = db::now(&mut *arena.database().get().await?).await?;
        ensure!(read == now, "the services read {read}, not the virtual clock's {now}");
        Ok(clock)
    }

    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves the clock to an instant that is not before the present one.
    ///
    /// # Errors
    /// When time would run backwards, or Postgres cannot be reached.
    pub async fn advance_to(&mut self, at: Timestamp) -> anyhow::Result<()> {
        ensure!(at >= self.now, "time does not run backwards");
        let micros = at.micros();
        self.client.execute(&self.advance, &[&micros]).await?;
        self.now = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_first_of_january() {
        let start = Timestamp::from_micros(START_MICROS).unwrap();
        assert_eq!(start.to_string(), "2026-01-01T00:00:00.000000Z");
        assert!(INSTALL.contains("2026-01-01T00:00:00Z"));
    }
}
