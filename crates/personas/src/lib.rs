//! Personas: who the hosted bots are, one YAML file each in `BOTS_DIR`.
//!
//! ```yaml
//! handle: momentum-mia            # the bot's name in the arena
//! name: Momentum Mia
//! description: One line for the public profile.
//! temperament: Free text, part of what the model is told it is.
//! system_prompt: The rest of it.
//! strategy:                       # each from "0.00" to "1.00", part of the prompt too
//!   aggression: "0.70"
//!   contrarian: "0.05"
//!   patience: "0.30"
//! interval_seconds: 45            # at least 10
//! max_stake_fraction: "0.06"      # of the balance, at most "0.20"
//! min_confidence: "0.58"          # below it there is no wager
//! llm:                            # optional, as is each field in it
//!   model: gpt-5-mini
//!   temperature: "0.70"
//!   max_output_tokens: 300
//! ```
//!
//! Genesis and the runner read the files with this code, so that no bot or grant is created for a persona that
//! the runner refuses.
//!
//! A file with any fault is refused whole, with every fault named by file, line and field; the
//! other files are not affected. Unknown fields are faults: a misspelt limit must not be a limit
//! that is silently not there. Decimals are quoted, because YAML would make floats of them.

mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ledger_core::{Confidence, Decimal8, Handle};
use llm::Temperature;

use yaml::Fields;
pub use yaml::{Fault, one_line};

/// A persona is a page of text.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Above this no persona may put at risk, of its balance and in one wager.
pub const STAKE_FRACTION_MAX: Decimal8 = Decimal8::hundredths(20);
const INTERVAL_SECONDS_MIN: i64 = 10;
const INTERVAL_SECONDS_MAX: i64 = 24 * 60 * 60;
const OUTPUT_TOKENS_MIN: i64 = 64;
const OUTPUT_TOKENS_MAX: i64 = 8_192;
/// The decision is a sentence; the rest is for models that think before they write.
const OUTPUT_TOKENS_DEFAULT: u32 = 1_000;

/// A hosted bot's character and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    pub handle: Handle,
    pub name: String,
    /// One line, shown in public.
    pub description: String,
    pub temperament: String,
    pub system_prompt: String,
    pub strategy: Strategy,
    /// From the beginning of one turn to the beginning of the next.
    pub interval_seconds: i64,
    /// The most of the balance in one wager, above 0 and at most [`STAKE_FRACTION_MAX`].
    pub max_stake_fraction: Fraction,
    /// Below this confidence the bot waits.
    pub min_confidence: Confidence,
    pub llm: LlmChoices,
}

/// Leanings for the prompt; no code uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// How much of its limit it likes to stake.
    pub aggression: Fraction,
    /// How much it likes to stand against the last move.
    pub contrarian: Fraction,
    /// How much it needs to see before it acts.
    pub patience: Fraction,
}

/// The persona's overrides of the runner's settings for model calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmChoices {
    pub model: Option<String>,
    pub temperature: Option<Temperature>,
    pub max_output_tokens: u32,
}

/// A share from 0 to 1, as a decimal with at most eight digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(Decimal8);

/// The text is no decimal from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal in quotes from \"0.00\" to \"1.00\"")]
pub struct FractionError;

impl Fraction {
    /// # Errors
    /// Below 0 or above 1.
    pub fn new(value: Decimal8) -> Result<Fraction, FractionError> {
        let value = value.within(Decimal8::ZERO, Decimal8::ONE);
        value.map(Fraction).map_err(|_| FractionError)
    }

    pub const fn decimal(self) -> Decimal8 {
        self.0
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Fraction, FractionError> {
        Fraction::new(text.parse().map_err(|_| FractionError)?)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&short(self.0))
    }
}

/// A decimal with at least two digits after the point, and no more than it takes: tokens cost money.
pub fn short(amount: impl fmt::Display) -> String {
    let text = amount.to_string();
    let least = text.find('.').map_or(text.len(), |point| point + 3);
    let length = text.trim_end_matches('0').len().max(least);
    text.get(..length).unwrap_or(&text).to_owned()
}

/// A file that was refused, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub file: PathBuf,
    pub faults: Vec<Fault>,
}

/// A persona and the file that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    pub file: PathBuf,
    pub persona: Persona,
}

/// The content of a directory of personas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// In the order of their files' names.
    pub personas: Vec<Filed>,
    pub refused: Vec<Refused>,
}

impl Roster {
    /// Reads every `*.yaml` of the directory, except hidden ones (an editor's).
    ///
    /// # Errors
    /// When the directory itself cannot be read; a file that cannot is refused.
    pub fn load(dir: &Path) -> io::Result<Roster> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if is_persona_file(&path) {
                files.push(path);
            }
        }
        files.sort();
        let mut roster = Roster::default();
        let mut taken = BTreeMap::new();
        for file in files {
            match read(&file).and_then(|text| parse(&text)) {
                Ok(persona) => roster.admit(persona, file, &mut taken),
                Err(faults) => roster.refused.push(Refused { file, faults }),
            }
        }
        Ok(roster)
    }

    /// Two handles that are one name in the arena, or one key in `.env.bots`, are one bot.
    fn admit(
        &mut self,
        persona: Persona,
        file: PathBuf,
        taken: &mut BTreeMap<String, (Handle, PathBuf)>,
    ) {
        let key = key_name(persona.handle.as_str());
        if let Some((other, first)) = taken.get(&key) {
            let text = format!(
                "{} clashes with {other} of {}: both read their key from {key}",
                persona.handle,
                first.display(),
            );
            let fault = Fault { line: 0, field: "handle".to_owned(), text };
            self.refused.push(Refused { file, faults: vec![fault] });
            return;
        }
        taken.insert(key, (persona.handle.clone(), file.clone()));
        self.personas.push(Filed { file, persona });
    }
}

/// The name under which `.env.bots` holds the key of a bot: `momentum-mia` →
/// `MOMENTUM_MIA_API_KEY`.
pub fn key_name(handle: &str) -> String {
    handle.to_ascii_uppercase().replace('-', "_") + KEY_SUFFIX
}

/// How the names of all keys end.
pub const KEY_SUFFIX: &str = "_API_KEY";

fn is_persona_file(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|extension| extension == "yaml")
}

fn read(file: &Path) -> Result<String, Vec<Fault>> {
    read_text(file, FILE_BYTES_MAX)
        .map_err(|text| vec![Fault { line: 0, field: String::new(), text }])
}

/// The text of a file that a person wrote and that is not larger than that.
///
/// # Errors
/// What is wrong with the file, as the rest of a sentence that begins with its name.
pub fn read_text(file: &Path, bytes_max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > bytes_max) {
        return Err(format!("is larger than {bytes_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// Reads a persona from the text of its file.
///
/// # Errors
/// Every fault of the text, by line.
pub fn parse(text: &str) -> Result<Persona, Vec<Fault>> {
    let mut fields = Fields::parse(text).map_err(|fault| vec![fault])?;
    let persona = take_persona(&mut fields);
    let faults = fields.finish();
    match persona {
        Some(persona) if faults.is_empty() => Ok(persona),
        _ => Err(faults),
    }
}

fn take_persona(fields: &mut Fields) -> Option<Persona> {
    // Each is taken before any is missed, so that all faults are found.
    let handle = fields.parsed("handle");
    // Names and descriptions go into log lines and lists.
    let name = fields.one_line("name", 1..=80);
    let description = fields.one_line("description", 1..=280);
    let temperament = fields.text("temperament", 1..=1_000);
    let system_prompt = fields.text("system_prompt", 1..=8_000);
    let strategy = fields.mapping("strategy", take_strategy);
    let interval_seconds =
        fields.integer("interval_seconds", INTERVAL_SECONDS_MIN..=INTERVAL_SECONDS_MAX);
    let max_stake_fraction = fields.parsed_by("max_stake_fraction", stake_fraction);
    let min_confidence = fields.parsed::<Confidence>("min_confidence");
    let llm = fields.if_given(|fields| fields.mapping("llm", take_llm));
    Some(Persona {
        handle: handle?,
        name: name?,
        description: description?,
        temperament: temperament?,
        system_prompt: system_prompt?,
        strategy: strategy??,
        interval_seconds: interval_seconds?,
        max_stake_fraction: max_stake_fraction?,
        min_confidence: min_confidence?,
        llm: llm.unwrap_or_default(),
    })
}

fn take_strategy(fields: &mut Fields) -> Option<Strategy> {
    let aggression = fields.parsed("aggression");
    let contrarian = fields.parsed("contrarian");
    let patience = fields.parsed("patience");
    Some(Strategy { aggression: aggression?, contrarian: contrarian?, patience: patience? })
}

fn take_llm(fields: &mut Fields) -> LlmChoices {
    let model = fields.parsed_by("model", model_name);
    let temperature = fields.parsed("temperature");
    let tokens = fields.integer("max_output_tokens", OUTPUT_TOKENS_MIN..=OUTPUT_TOKENS_MAX);
    LlmChoices {
        model,
        temperature,
        max_output_tokens: tokens
            .and_then(|tokens| u32::try_from(tokens).ok())
            .unwrap_or(OUTPUT_TOKENS_DEFAULT),
    }
}

impl Default for LlmChoices {
    fn default() -> LlmChoices {
        LlmChoices { model: None, temperature: None, max_output_tokens: OUTPUT_TOKENS_DEFAULT }
    }
}

fn stake_fraction(text: &str) -> Result<Fraction, &'static str> {
    let is_fit = |fraction: &Fraction| {
        fraction.decimal() > Decimal8::ZERO && fraction.decimal() <= STAKE_FRACTION_MAX
    };
    let problem = "must be a decimal in quotes above \"0\" and at most \"0.20\"";
    text.parse().ok().filter(is_fit).ok_or(problem)
}

fn model_name(text: &str) -> Result<String, &'static str> {
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=200).contains(&text.len()) && is_printable {
        return Ok(text.to_owned());
    }
    Err("must be a model's name: 1 to 200 printable characters without spaces")
}
