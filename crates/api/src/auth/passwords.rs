//! API keys as argon2id hashes, with a bound on how many are computed at once.
//!
//! Parameters are the second of the five equal choices in OWASP's Password Storage Cheat Sheet for
//! argon2id: 19 MiB, two passes, one lane. An API key has 256 random bits, which need no slow hash;
//! the cost protects keys that a person chose, as in `.env.bots`. Of the five variants this one is
//! the middle between memory (two at once take 38 MiB) and time (about 25 ms on one core).
//!
//! Hashes run on blocking threads and not on those that serve requests. [`super::queue`] limits how
//! many run at once, so that a flood of logins cannot take more of the blocking pool or more
//! memory. Whom the queue has no place for is turned away with a 429.
//!
//! Every login costs one hash, so that a failure takes no more of the queue than a success, and the
//! time does not reveal which bots exist or have two keys. For that a bot's next key is hashed
//! under the salt of the one before it: one computation is compared with both. The salt still
//! differs between bots.

use std::net::IpAddr;
use std::time::Instant;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ledger_core::BotId;

use super::proven::Proven as Known;
use super::queue::{Asker, Queue};
use crate::error::ApiError;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Above 32 MiB the allocator maps memory and returns it to the system when it is freed; below, it
/// may keep it. Reserved but untouched memory costs nothing.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Hashes and verifies API keys off the request threads.
pub(crate) struct Passwords {
    queue: Queue,
    known: Known,
    /// A dummy hash: the key of an unknown bot is verified against it, so that this takes as long
    /// as for a known one.
    nobody: String,
}

/// The stored hashes for a login.
#[derive(Clone, Copy)]
pub(crate) struct Hashes<'a> {
    pub(crate) bot: BotId,
    pub(crate) current: &'a str,
    /// Rotated, but still valid.
    pub(crate) predecessor: Option<&'a str>,
}

impl Passwords {
    pub(crate) async fn new() -> Result<Passwords, PasswordError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(wrong)?;
        let hashing = tokio::task::spawn_blocking(move || hash(&key, None));
        Ok(Passwords {
            queue: Queue::new(),
            known: Known::new().map_err(wrong)?,
            nobody: hashing.await.map_err(wrong)??,
        })
    }

    /// The hash of an API key, in PHC form: under the salt of `before`, the one that it takes the place of.
    pub(crate) async fn hash(
        &self,
        asker: Asker,
        api_key: &str,
        before: Option<&str>,
    ) -> Result<String, ApiError> {
        let (key, before) = (api_key.as_bytes().to_vec(), before.map(str::to_owned));
        self.off_thread(asker, move || hash(&key, before.as_deref())).await
    }

    /// Which of a bot's keys this is, if any; `None` is a bot that there is not.
    pub(crate) async fn prove(
        &self,
        address: Option<IpAddr>,
        api_key: &str,
        hashes: Option<Hashes<'_>>,
    ) -> Result<Option<Proven>, ApiError> {
        let bot = hashes.map(|hashes| hashes.bot);
        let asker = Asker {
            address,
            proven: bot.filter(|bot| self.known.knows(*bot, api_key, Instant::now())),
        };
        let key = api_key.as_bytes().to_vec();
        let candidates = candidates(hashes, &self.nobody);
        let proven = self.off_thread(asker, move || prove(&key, &candidates)).await?;
        match (bot, proven) {
            (Some(bot), Some(_)) => self.known.learn(bot, api_key, Instant::now()),
            (Some(bot), None) if asker.proven.is_some() => self.known.forget(bot, api_key),
            _ => {}
        }
        Ok(proven)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.queue.turn(asker).await;
        let turn = turn.ok_or(ApiError::TooManyRequests {
            detail: "Too many logins and registrations at once; try again in a moment.",
            retry_after_seconds: 1,
        })?;
        let working = tokio::task::spawn_blocking(move || {
            // Moved here: it lasts until the work ends, even if the caller no longer waits.
            let _turn = turn;
            work()
        });
        Ok(working.await.map_err(wrong)??)
    }
}

/// Which of a bot's keys it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proven {
    Current,
    /// Rotated away, within its grace.
    Predecessor,
}

/// A hash to verify against, and what it proves; the dummy proves nothing.
struct Candidate {
    hash: String,
    proves: Option<Proven>,
}

fn candidates(hashes: Option<Hashes<'_>>, nobody: &str) -> Vec<Candidate> {
    let candidate = |hash: &str, proves| Candidate { hash: hash.to_owned(), proves };
    let Some(hashes) = hashes else {
        return vec![candidate(nobody, None)];
    };
    let predecessor = hashes.predecessor.map(|hash| candidate(hash, Some(Proven::Predecessor)));
    [candidate(hashes.current, Some(Proven::Current))].into_iter().chain(predecessor).collect()
}

/// Compares one hash with all that are under its settings. Keys that were rotated before they shared
/// their salt cost another one, until their grace ends.
fn prove(key: &[u8], candidates: &[Candidate]) -> Result<Option<Proven>, PasswordError> {
    let mut computed: Vec<(&str, Output)> = Vec::new();
    let mut proven = None;
    for candidate in candidates {
        let (settings, _) = candidate.hash.rsplit_once('$').unwrap_or_default();
        let known = computed.iter().find(|(under, _)| *under == settings);
        let output = match known {
            Some((_, output)) => *output,
            None => {
                let output = output_of(key, &candidate.hash)?;
                computed.push((settings, output));
                output
            }
        };
        // `Output` compares in constant time.
        if parsed(&candidate.hash)?.hash == Some(output) {
            proven = proven.or(candidate.proves);
        }
    }
    Ok(proven)
}

/// Hashing itself failed: memory, randomness, or a stored hash that is none.
#[derive(Debug, thiserror::Error)]
#[error("argon2: {0}")]
pub(crate) struct PasswordError(String);

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> ApiError {
        ApiError::Internal(error.to_string())
    }
}

fn wrong(error: impl std::fmt::Display) -> PasswordError {
    PasswordError(error.to_string())
}

fn hash(key: &[u8], before: Option<&str>) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(wrong)?;
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(wrong)?;
    let inherited = before.map(parsed).transpose()?.and_then(|before| before.salt);
    let salt = match inherited {
        Some(salt) => salt,
        None => Salt::new(&salt).map_err(wrong)?,
    };
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(Algorithm::Argon2id, Version::V0x13, &params, key, &salt, &mut output)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(wrong)?,
        salt: Some(salt),
        hash: Some(Output::new(&output).map_err(wrong)?),
    };
    Ok(hash.to_string())
}

fn parsed(stored: &str) -> Result<PasswordHash, PasswordError> {
    PasswordHash::new(stored).map_err(wrong)
}

/// The hash of the key with the settings of a stored hash.
fn output_of(key: &[u8], stored: &str) -> Result<Output, PasswordError> {
    let stored = parsed(stored)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(wrong("a stored hash lacks its salt or its output"));
    };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(wrong)?;
    let version = match stored.version {
        None => Version::default(),
        Some(version) => Version::try_from(version).map_err(wrong)?,
    };
    let params = Params::try_from(&stored).map_err(wrong)?;
    let mut output = vec![0; expected.len()];
    compute(algorithm, version, &params, key, &salt, &mut output)?;
    Output::new(&output).map_err(wrong)
}

fn compute(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    key: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), PasswordError> {
    #[cfg(test)]
    tests::COMPUTED.set(tests::COMPUTED.get() + 1);
    let needed = params.block_count();
    let mut memory = Vec::with_capacity(needed.max(RESERVED_BLOCKS));
    memory.resize(needed, Block::default());
    Argon2::new(algorithm, version, params.clone())
        .hash_password_into_with_memory(key, salt, output, &mut memory[..])
        .map_err(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;

    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn verify(key: &[u8], stored: &str) -> Result<bool, PasswordError> {
        let candidate = Candidate { hash: stored.to_owned(), proves: Some(Proven::Current) };
        Ok(prove(key, &[candidate])?.is_some())
    }

    #[test]
    fn a_hash_is_owasps_argon2id_and_salted() {
        let stored = hash(b"ldk_1", None).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash(b"ldk_1", None).unwrap());
        assert!(verify(b"ldk_1", &stored).unwrap());
        assert!(!verify(b"ldk_2", &stored).unwrap());
        // The next key of the same bot.
        let next = hash(b"ldk_2", Some(&stored)).unwrap();
        let salt = |stored: &str| parsed(stored).unwrap().salt.unwrap();
        assert_eq!(salt(&next), salt(&stored));
        assert!(verify(b"ldk_2", &next).unwrap() && !verify(b"ldk_1", &next).unwrap());
    }

    #[test]
    fn it_is_the_same_argon2_as_everybodys() {
        let stored = hash(b"ldk_1", None).unwrap();
        assert!(Argon2::default().verify_password(b"ldk_1", stored.as_str()).is_ok());
        let params = Params::new(8, 1, 1, None).unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let theirs = cheap.hash_password_with_salt(b"ldk_1", &[7; 16]).unwrap().to_string();
        assert!(verify(b"ldk_1", &theirs).unwrap());
        assert!(!verify(b"ldk_2", &theirs).unwrap());
        // A bot's next key is hashed at today's cost, regardless of the last one.
        let next = hash(b"ldk_2", Some(&theirs)).unwrap();
        assert!(next.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn what_is_no_hash_is_an_error_and_not_a_no() {
        assert!(verify(b"ldk_1", "").is_err());
        assert!(verify(b"ldk_1", "$argon2id$v=19$m=19456,t=2,p=1").is_err());
    }

    thread_local! {
        /// How many hashes this thread has computed.
        pub(super) static COMPUTED: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn a_failure_costs_as_much_as_a_success() {
        let nobody = hash(b"?", None).unwrap();
        let before = hash(b"ldk_before", None).unwrap();
        let now = hash(b"ldk_now", Some(&before)).unwrap();
        let cost = |key: &str, predecessor: Option<&str>, known: bool| {
            let hashes = known.then_some(Hashes { bot: BotId(7), current: &now, predecessor });
            let candidates = candidates(hashes, &nobody);
            let already = COMPUTED.get();
            let proven = prove(key.as_bytes(), &candidates).unwrap();
            (proven, COMPUTED.get() - already)
        };
        let old = Some(before.as_str());
        for (predecessor, known) in [(None, false), (None, true), (old, true)] {
            assert_eq!(cost("ldk_wrong", predecessor, known), (None, 1));
            // Even the key of the dummy hash is refused.
            assert_eq!(cost("?", predecessor, known), (None, 1));
        }
        assert_eq!(cost("ldk_before", None, true), (None, 1));
        assert_eq!(cost("ldk_now", None, true), (Some(Proven::Current), 1));
        assert_eq!(cost("ldk_now", old, true), (Some(Proven::Current), 1));
        assert_eq!(cost("ldk_before", old, true), (Some(Proven::Predecessor), 1));
        // Rotated before keys shared their salt.
        let foreign = hash(b"ldk_before", None).unwrap();
        let foreign = Some(foreign.as_str());
        assert_eq!(cost("ldk_before", foreign, true), (Some(Proven::Predecessor), 2));
        assert_eq!(cost("ldk_wrong", foreign, true), (None, 2));
    }

    const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)));

    #[tokio::test]
    async fn nobodys_key_is_never_right() {
        let passwords = Passwords::new().await.unwrap();
        assert_eq!(passwords.prove(ADDRESS, "ldk_1", None).await.unwrap(), None);
        let asker = Asker { address: ADDRESS, proven: None };
        let stored = passwords.hash(asker, "ldk_1", None).await.unwrap();
        let hashes = Hashes { bot: BotId(7), current: &stored, predecessor: None };
        let proven = passwords.prove(ADDRESS, "ldk_1", Some(hashes)).await;
        assert_eq!(proven.unwrap(), Some(Proven::Current));
        let knows = |key: &str| passwords.known.knows(BotId(7), key, Instant::now());
        assert!(knows("ldk_1"));
        // A key that was valid once is not valid forever.
        let other = passwords.hash(asker, "ldk_2", None).await.unwrap();
        let rotated = Hashes { current: &other, ..hashes };
        let proven = passwords.prove(ADDRESS, "ldk_1", Some(rotated)).await;
        assert_eq!(proven.unwrap(), None);
        assert!(!knows("ldk_1"));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_without_hashing() {
        let passwords = Passwords::new().await.unwrap();
        let flood = (0..100).map(|_| passwords.prove(ADDRESS, "ldk_1", None));
        let answers = futures_util::future::join_all(flood).await;
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(ApiError::TooManyRequests { .. })))
            .count();
        assert_eq!(refused, 34);
        let after = passwords.prove(ADDRESS, "ldk_1", None).await;
        assert_eq!(after.unwrap(), None, "it is over");
    }
}
