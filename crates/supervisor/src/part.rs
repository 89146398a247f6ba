//! The parts of the stack.

/// A process of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Postgres,
    Redis,
    Api,
    Ticker,
    Oracle,
    BotRunner,
}

impl Part {
    /// In the order of their start; they are stopped in reverse.
    pub(crate) const ALL: [Part; 6] =
        [Part::Postgres, Part::Redis, Part::Api, Part::Ticker, Part::Oracle, Part::BotRunner];
    pub(crate) const SERVICES: [Part; 4] = [Part::Api, Part::Ticker, Part::Oracle, Part::BotRunner];

    /// As files and messages call it, and for a service as its program is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Part::Postgres => "postgres",
            Part::Redis => "redis",
            Part::Api => "api",
            Part::Ticker => "ticker",
            Part::Oracle => "oracle",
            Part::BotRunner => "bot-runner",
        }
    }

    pub(crate) const fn is_service(self) -> bool {
        self.port_setting().is_some()
    }

    /// The setting and the default of a service's port.
    pub(crate) const fn port_setting(self) -> Option<(&'static str, u16)> {
        Some(match self {
            Part::Postgres | Part::Redis => return None,
            Part::Api => ("API_PORT", 8000),
            Part::Ticker => ("TICKER_HEALTH_PORT", 8001),
            Part::Oracle => ("ORACLE_HEALTH_PORT", 8002),
            Part::BotRunner => ("BOT_RUNNER_HEALTH_PORT", 8003),
        })
    }

    /// The setting of its address, for messages.
    pub(crate) const fn port_words(self) -> &'static str {
        match self.port_setting() {
            Some((name, _)) => name,
            None if matches!(self, Part::Postgres) => {
                "the port in DATABASE_URL and DATABASE_OWNER_URL"
            }
            None => "the port in REDIS_URL",
        }
    }
}
