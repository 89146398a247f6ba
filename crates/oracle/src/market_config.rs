//! The sources of markets, as the settings want them.

use std::sync::Arc;

use daemon::config::Reader;
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use secrecy::SecretString;
use sources::{Feed, Http, HttpConfig, Settings, TIMEOUT};
use url::Url;

use crate::config::CONTACT;

/// The feeds of all sources that the market maker may choose. A source of weight 0 is still there:
/// operators may open markets of it.
pub(crate) fn read_feeds(reader: &mut Reader<'_>, rules: &MarketRules) -> Vec<Arc<dyn Feed>> {
    let contact = reader.or("CONTACT", CONTACT.to_owned());
    let http = Http::new(&HttpConfig { contact, timeout: TIMEOUT });
    match http {
        Ok(http) => MarketSource::ALL
            .iter()
            .filter_map(|source| sources::of(*source).feed(&mut Written(reader), &http, rules))
            .collect(),
        Err(problem) => {
            reader.problem("CONTACT", problem.to_string());
            Vec::new()
        }
    }
}

/// The settings that the operator wrote.
struct Written<'a, 'b>(&'a mut Reader<'b>);

impl Settings for Written<'_, '_> {
    fn text(&mut self, name: &str) -> Option<String> {
        self.0.optional(name)
    }

    fn url(&mut self, name: &str) -> Option<Url> {
        self.0.optional(name)
    }

    fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.0.optional_secret(name, 1)
    }

    fn problem(&mut self, name: &str, problem: String) {
        self.0.problem(name, problem);
    }
}
