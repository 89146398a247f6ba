//! The runner's settings, the personas and their keys: everything a person has to get right.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arena_client::{Client, ClientConfig};
use daemon::config::env_file::EnvFile;
use daemon::config::{ConfigError, Environment, Reader, Sources};
use daemon::health;
use daemon::hosts::Hosts;
use ledger_core::Money;
use ledger_core::price_book::PriceBook;
use llm::openai::OpenAiConfig;
use llm::{Model, ModelConfig, ProviderKind, SetupError};
use secrecy::SecretString;
use service::{PostgresSettings, clock};
use sources::wikipedia::{self, Wikipedia};
use sources::{Http, HttpConfig};
use url::Url;

use crate::lookup::{ANSWER_LIMIT, Lookup};
use crate::persona::{Filed, LlmChoices, Persona, Refused, Roster, key_name};
use crate::prices;

/// Port of `/health` and `/ready` unless `BOT_RUNNER_HEALTH_PORT` is set.
pub const HEALTH_PORT: u16 = 8003;
const API_URL: &str = "http://127.0.0.1:8000";
const BOTS_DIR: &str = "bots";
const BOTS_ENV_FILE: &str = ".env.bots";
const OPENAI_URL: &str = "https://api.openai.com/v1";
/// The daily limit of one bot's model calls, in US dollars.
const LLM_DAILY_USD: Money = Money::cents(100);
/// The contact for Wikipedia, unless `CONTACT` is set.
const CONTACT: &str = env!("CARGO_PKG_REPOSITORY");
const LLM_TIMEOUT_SECONDS: u64 = 30;
const LLM_TIMEOUT_SECONDS_MAX: u64 = 300;
/// Loops hold a connection for one short statement at a time.
const POOL_SIZE: usize = 4;
/// So that bots do not always decide the same if the market never moves.
const MOCK_SEED: u64 = 1;

/// The settings of the runner.
pub struct Config {
    pub postgres: PostgresSettings,
    pub health_address: SocketAddr,
    /// Its host names.
    pub hosts: Hosts,
    /// Of the arena, without a bot's credential.
    pub arena: Client,
    /// `host:port` of the arena, for messages.
    pub arena_address: String,
    pub models: Models,
    pub limit: DailyLimit,
    pub lookup: Lookup,
    pub staff: Staff,
}

/// The bots that run, and those that do not.
pub struct Staff {
    /// The bots to run, at least one.
    pub bots: Vec<KeyedPersona>,
    /// The files that were refused.
    pub refused: Vec<Refused>,
    /// Personas that no key was found for.
    pub keyless: Vec<Keyless>,
}

/// A persona and the key of its bot.
pub struct KeyedPersona {
    pub persona: Persona,
    pub api_key: SecretString,
}

/// A persona whose key is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{handle} has no key: {file} has no {key}; run `arenactl genesis` to make the bot, or add the \
     line"
)]
pub struct Keyless {
    pub handle: String,
    pub key: String,
    pub file: String,
}

impl Config {
    /// Reads and checks all settings, the personas and the key file included.
    ///
    /// # Errors
    /// Every problem at once, by the names of the settings. Refused personas are problems only
    /// when no other is left to run.
    pub fn read(sources: &Sources) -> Result<Config, ConfigError> {
        let mut reader = Reader::new(sources);
        let postgres = PostgresSettings::read(&mut reader, POOL_SIZE, 1..=200);
        let health_address = health::address(&mut reader, "BOT_RUNNER_HEALTH_PORT", HEALTH_PORT);
        let hosts = Hosts::read(&mut reader);
        let arena = read_arena(&mut reader);
        let mut models = read_models(&mut reader);
        let limit = read_limit(&mut reader);
        let lookup = read_lookup(&mut reader);
        let roster = read_roster(&mut reader);
        let keys = read_keys(&mut reader);
        let staff = roster.zip(keys).and_then(|(roster, keys)| hire(&mut reader, roster, &keys));
        if let (Some(models), Some(limit), Some(staff)) = (&mut models, &limit, &staff) {
            check_prices(&mut reader, models, limit, &staff.bots);
        }
        let config = || {
            let (arena, arena_address) = arena?;
            Some(Config {
                postgres,
                health_address,
                hosts,
                arena,
                arena_address,
                models: models?,
                limit: limit?,
                lookup: lookup?,
                staff: staff?,
            })
        };
        reader.finish_with(config())
    }
}

fn read_arena(reader: &mut Reader<'_>) -> Option<(Client, String)> {
    let given: Option<Url> = reader.optional("API_URL");
    let url = given.or_else(|| Url::parse(API_URL).ok())?;
    let address = daemon::config::endpoint(url.as_str(), 80).unwrap_or_default();
    let client = Client::new(ClientConfig::new(url));
    let client = client.map_err(|problem| format!("cannot be used: {problem}"));
    let client = client.map_err(|text| reader.problem("API_URL", text)).ok()?;
    Some((client, address))
}

/// The models that personas think with: one of the settings, and one for each persona that names
/// another.
pub struct Models {
    config: ModelConfig,
    default: Model,
    named: HashMap<String, Model>,
}

impl Models {
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: ModelConfig) -> Result<Models, SetupError> {
        let default = Model::from_config(config.clone())?;
        Ok(Models { config, default, named: HashMap::new() })
    }

    /// The model for a persona's choices; the mock ignores the model's name.
    ///
    /// # Errors
    /// When the configuration cannot work with that model.
    pub fn for_choices(&mut self, choices: &LlmChoices) -> Result<Model, SetupError> {
        let (ModelConfig::OpenAi(config), Some(name)) = (&self.config, &choices.model) else {
            return Ok(self.default.clone());
        };
        if let Some(model) = self.named.get(name) {
            return Ok(model.clone());
        }
        let config = OpenAiConfig { model: name.clone(), ..config.clone() };
        let model = Model::from_config(ModelConfig::OpenAi(config))?;
        self.named.insert(name.clone(), model.clone());
        Ok(model)
    }

    /// The longest that one call may take.
    pub const fn call_timeout(&self) -> Duration {
        match &self.config {
            ModelConfig::Mock { .. } => Duration::ZERO,
            ModelConfig::OpenAi(config) => config.timeout,
        }
    }

    /// `provider/model`, for the log.
    pub fn name(&self) -> String {
        let (provider, model) = (self.default.provider_name(), self.default.model_name());
        format!("{provider}/{model}")
    }
}

fn read_models(reader: &mut Reader<'_>) -> Option<Models> {
    let environment = reader.or("ENV", Environment::default());
    let is_given = reader.raw("LLM_PROVIDER").is_some();
    let given: Option<ProviderKind> = reader.optional("LLM_PROVIDER");
    let kind = match (given, environment) {
        (Some(kind), _) => kind,
        (None, _) if is_given => return None,
        (None, Environment::Development) => ProviderKind::Mock,
        (None, Environment::Production) => {
            // The mock in production must be an explicit decision.
            reader.problem("LLM_PROVIDER", "is not set: in production set mock or openai");
            return None;
        }
    };
    let config = match kind {
        ProviderKind::Mock => ModelConfig::Mock { seed: MOCK_SEED },
        ProviderKind::OpenAi => ModelConfig::OpenAi(read_openai(reader)?),
    };
    Models::new(config)
        .map_err(|problem| {
            let name = match problem {
                SetupError::BaseUrl => "LLM_BASE_URL",
                SetupError::ApiKey => "LLM_API_KEY",
                SetupError::Model => "LLM_MODEL",
                SetupError::Client => "LLM_PROVIDER",
            };
            reader.problem(name, format!("cannot be used: {problem}"));
        })
        .ok()
}

fn read_openai(reader: &mut Reader<'_>) -> Option<OpenAiConfig> {
    let base_url: Option<Url> = reader.optional("LLM_BASE_URL");
    let api_key = reader.optional_secret("LLM_API_KEY", 1);
    let model: Option<String> = reader.required("LLM_MODEL");
    let seconds =
        reader.or_within("LLM_TIMEOUT_SECONDS", LLM_TIMEOUT_SECONDS, 1..=LLM_TIMEOUT_SECONDS_MAX);
    Some(OpenAiConfig {
        base_url: base_url.or_else(|| Url::parse(OPENAI_URL).ok())?,
        api_key,
        model: model?,
        timeout: Duration::from_secs(seconds),
    })
}

/// The daily limit of one bot's model calls.
#[derive(Clone, Debug)]
pub struct DailyLimit {
    /// `None` is no limit.
    pub usd: Option<Money>,
    /// The prices of calls, limited or not.
    pub prices: Arc<PriceBook>,
}

fn read_limit(reader: &mut Reader<'_>) -> Option<DailyLimit> {
    let path = reader.raw("PRICE_BOOK").map(|_| reader.path_or("PRICE_BOOK", ""));
    // Read with any limit: a faulty book must be found at the start.
    let prices = prices::load(path.as_deref())
        .map_err(|fault| reader.problem("PRICE_BOOK", format!("cannot be used: {fault}")))
        .ok();
    let usd = match reader.raw("LLM_DAILY_USD").as_deref() {
        None => Some(LLM_DAILY_USD),
        Some("none") => None,
        Some(text) => match text.parse() {
            Ok(usd) if usd >= Money::ZERO => Some(usd),
            _ => {
                let text = "must be US dollars such as 1.00, not negative, or none for no limit";
                reader.problem("LLM_DAILY_USD", text);
                return None;
            }
        },
    };
    let prices = Arc::new(prices?);
    Some(DailyLimit { usd, prices })
}

/// Without a price the limit would have no effect.
fn check_prices(
    reader: &mut Reader<'_>,
    models: &mut Models,
    limit: &DailyLimit,
    bots: &[KeyedPersona],
) {
    if limit.usd.is_none() {
        return;
    }
    let mut unpriced = BTreeMap::new();
    for KeyedPersona { persona, .. } in bots {
        let Ok(model) = models.for_choices(&persona.llm) else {
            continue;
        };
        let (provider, name) = (model.provider_name(), model.model_name());
        if limit.prices.prices(provider, name, clock::now()).is_none() {
            unpriced
                .entry(format!("model {name} of provider {provider}"))
                .or_insert_with(|| persona.handle.to_string());
        }
    }
    for (model, handle) in unpriced {
        let text = format!(
            "cannot be kept to: {model}, with which {handle} thinks, has no price in the price book. \
             Add it to a copy of deploy/price-book.yaml that PRICE_BOOK names (\"0\" for hardware of \
             your own), or set LLM_DAILY_USD=none"
        );
        reader.problem("LLM_DAILY_USD", text);
    }
}

fn read_lookup(reader: &mut Reader<'_>) -> Option<Lookup> {
    let given: Option<Url> = reader.optional("WIKIPEDIA_URL");
    let url = given.or_else(|| Url::parse(wikipedia::DEFAULT_URL).ok())?;
    let config =
        HttpConfig { contact: reader.or("CONTACT", CONTACT.to_owned()), timeout: ANSWER_LIMIT };
    match Http::new(&config).and_then(|http| Wikipedia::new(http, url)) {
        Ok(wikipedia) => Some(Lookup::new(Arc::new(wikipedia))),
        Err(problem) => {
            let name = match problem {
                sources::SetupError::Contact => "CONTACT",
                sources::SetupError::Url
                | sources::SetupError::Key
                | sources::SetupError::Client => "WIKIPEDIA_URL",
            };
            reader.problem(name, problem.to_string());
            None
        }
    }
}

fn read_roster(reader: &mut Reader<'_>) -> Option<Roster> {
    let dir = reader.path_or("BOTS_DIR", BOTS_DIR);
    let unreadable = |error| format!("is {}, which cannot be read: {error}", dir.display());
    let loaded = Roster::load(&dir).map_err(unreadable);
    let roster = loaded.map_err(|text| reader.problem("BOTS_DIR", text)).ok()?;
    if !roster.personas.is_empty() {
        return Some(roster);
    }
    let text = format!("is {}, where no persona can be used", dir.display());
    reader.problem("BOTS_DIR", text);
    for refused in &roster.refused {
        for fault in &refused.faults {
            reader.problem(&refused.file.display().to_string(), fault.to_string());
        }
    }
    None
}

/// The keys of `.env.bots`, and the file they come from.
struct Keys {
    file: String,
    keys: BTreeMap<String, String>,
}

fn read_keys(reader: &mut Reader<'_>) -> Option<Keys> {
    let path = reader.path_or("BOTS_ENV_FILE", BOTS_ENV_FILE);
    let file = path.display().to_string();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "is {file}, and there is no such file: run `arenactl genesis`, which makes the hosted bots and \
             writes their keys"
        ),
        _ => format!("is {file}, which cannot be read: {error}"),
    };
    let bytes = std::fs::read(&path).map_err(unreadable);
    let bytes = bytes.map_err(|text| reader.problem("BOTS_ENV_FILE", text)).ok()?;
    let EnvFile { pairs, faults } = EnvFile::parse(&bytes);
    for fault in faults {
        reader.problem(&file, fault.to_string());
    }
    Some(Keys { file, keys: pairs.into_iter().collect() })
}

/// Gives each persona its key.
fn hire(reader: &mut Reader<'_>, roster: Roster, keys: &Keys) -> Option<Staff> {
    let mut staff = Staff { bots: Vec::new(), refused: roster.refused, keyless: Vec::new() };
    for Filed { persona, .. } in roster.personas {
        let name = key_name(persona.handle.as_str());
        match keys.keys.get(&name).filter(|key| !key.is_empty()) {
            Some(key) => staff.bots.push(KeyedPersona { persona, api_key: key.as_str().into() }),
            None => staff.keyless.push(Keyless {
                handle: persona.handle.to_string(),
                key: name,
                file: keys.file.clone(),
            }),
        }
    }
    if !staff.bots.is_empty() {
        return Some(staff);
    }
    for keyless in &staff.keyless {
        reader.problem("BOTS_ENV_FILE", format!("lacks a key: {keyless}"));
    }
    None
}
