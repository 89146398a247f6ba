//! The operator's limits for one client.

use cache::limits::rate::{RATE_PER_MINUTE_MAX, Rate};
use daemon::config::Reader;

/// Rates of one client each; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Requests of one address.
    pub address: Option<Rate>,
    /// Requests of one bot's token, or of one secret.
    pub credential: Option<Rate>,
    /// Logins that one address tries.
    pub logins: Option<Rate>,
    /// Logins that one address tries for the same bot.
    pub logins_per_bot: Option<Rate>,
    /// Registrations that one address tries.
    pub registrations: Option<Rate>,
}

// An address may be a whole office of bots and dashboards; one bot acts a few times a tick.
const ADDRESS: [u32; 2] = [12_000, 2_000];
const CREDENTIAL: [u32; 2] = [1_200, 200];
// Both cost a hash of tens of milliseconds.
const LOGINS: u32 = 30;
const LOGINS_PER_BOT: u32 = 10;
const REGISTRATIONS: u32 = 30;

impl ClientLimits {
    /// Requests a minute; 0 switches a limit off.
    pub(crate) fn read(reader: &mut Reader<'_>) -> ClientLimits {
        let mut figure = |name, default| reader.or_within(name, default, 0..=RATE_PER_MINUTE_MAX);
        let [address, credential] = [ADDRESS, CREDENTIAL];
        ClientLimits {
            address: rate(
                figure("REQUESTS_PER_ADDRESS_PER_MINUTE", address[0]),
                figure("REQUESTS_PER_ADDRESS_BURST", address[1]),
            ),
            credential: rate(
                figure("REQUESTS_PER_CREDENTIAL_PER_MINUTE", credential[0]),
                figure("REQUESTS_PER_CREDENTIAL_BURST", credential[1]),
            ),
            logins: at_once(figure("LOGINS_PER_ADDRESS_PER_MINUTE", LOGINS)),
            logins_per_bot: at_once(figure("LOGINS_PER_BOT_PER_MINUTE", LOGINS_PER_BOT)),
            registrations: at_once(figure("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", REGISTRATIONS)),
        }
    }
}

fn rate(per_minute: u32, burst: u32) -> Option<Rate> {
    (per_minute > 0).then(|| Rate::per_minute(per_minute, burst))
}

/// A minute's worth may come at once.
fn at_once(per_minute: u32) -> Option<Rate> {
    rate(per_minute, per_minute)
}
