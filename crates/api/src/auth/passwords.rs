//! API keys as argon2id hashes, with a bound on how many are computed at once.
//!
//! Parameters are the second of the five equal choices in OWASP's Password Storage Cheat Sheet for
//! argon2id: 19 MiB, two passes, one lane. An API key has 256 random bits, which no hash could make
//! guessable; the cost is there for keys that somebody chose, as in `.env.bots`. Of the five this one
//! is the middle between memory (two at once take 38 MiB) and time (about 25 ms on one core).
//!
//! Requests never hash on the threads that serve them. [`AT_ONCE`] blocking threads at most do, in
//! the whole process: no flood of logins takes more of the blocking pool, or more memory. Whoever
//! comes while [`QUEUE_MAX`] wait is turned away with a 429.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::ApiError;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Hashes computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// Requests that hash or wait for it; more are turned away at once. At some twenty hashes a second
/// and core a longer queue would outlast its requests' time.
const QUEUE_MAX: usize = 64;
/// Above 32 MiB the allocator maps memory and returns it to the system when it is freed; below, it
/// may keep it for good. What is reserved and not touched costs nothing.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Hashes and verifies API keys off the request threads.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    queue: Semaphore,
    /// The hash of a key that nobody has: what a stranger's key is verified against, so that it
    /// takes as long as anybody's.
    nobody: String,
}

impl Passwords {
    pub(crate) async fn new() -> Result<Passwords, PasswordError> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| PasswordError(error.to_string()))?;
        let nobody = off_thread(&places, move || hash(&key)).await?;
        let queue = Semaphore::new(QUEUE_MAX);
        Ok(Passwords {
            places,
            queue,
            nobody,
        })
    }

    /// The hash of an API key, in PHC form.
    pub(crate) async fn hash(&self, api_key: &str) -> Result<String, ApiError> {
        let _waiting = self.enter()?;
        let key = api_key.as_bytes().to_vec();
        Ok(off_thread(&self.places, move || hash(&key)).await?)
    }

    /// A place in the queue, or a word that there is none.
    fn enter(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.queue
            .try_acquire()
            .map_err(|_| ApiError::TooManyRequests {
                detail: "too many logins and registrations at once; try again in a moment",
                retry_after_seconds: 1,
            })
    }

    /// Which of a bot's hashes the key is for, if any. Every failure costs two hashes, whether the
    /// bot has two, one or is nobody; the present key costs one.
    pub(crate) async fn prove(
        &self,
        api_key: &str,
        current: Option<&str>,
        predecessor: Option<&str>,
    ) -> Result<Option<Proven>, ApiError> {
        let _waiting = self.enter()?;
        let key = api_key.as_bytes().to_vec();
        let candidates = [
            Candidate::new(Proven::Current, current, &self.nobody),
            Candidate::new(Proven::Predecessor, predecessor, &self.nobody),
        ];
        Ok(off_thread(&self.places, move || prove(&key, &candidates)).await?)
    }
}

/// Which of a bot's keys it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proven {
    Current,
    /// Rotated away, within its grace.
    Predecessor,
}

/// A hash to verify against, and what it proves: nothing, if it is nobody's.
struct Candidate {
    hash: String,
    proves: Option<Proven>,
}

impl Candidate {
    fn new(proves: Proven, hash: Option<&str>, nobody: &str) -> Candidate {
        Candidate {
            hash: hash.unwrap_or(nobody).to_owned(),
            proves: hash.map(|_| proves),
        }
    }
}

fn prove(key: &[u8], candidates: &[Candidate]) -> Result<Option<Proven>, PasswordError> {
    for candidate in candidates {
        if verify(key, &candidate.hash)? && candidate.proves.is_some() {
            return Ok(candidate.proves);
        }
    }
    Ok(None)
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

async fn off_thread<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    let place = Arc::clone(places).acquire_owned().await.map_err(wrong)?;
    let working = tokio::task::spawn_blocking(move || {
        // Moved here: the place is taken until the work ends, even if nobody waits for it any more.
        let _place = place;
        work()
    });
    working.await.map_err(wrong)?
}

fn hash(key: &[u8]) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(wrong)?;
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(wrong)?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(
        Algorithm::Argon2id,
        Version::V0x13,
        &params,
        key,
        &salt,
        &mut output,
    )?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(wrong)?,
        salt: Some(Salt::new(&salt).map_err(wrong)?),
        hash: Some(Output::new(&output).map_err(wrong)?),
    };
    Ok(hash.to_string())
}

fn verify(key: &[u8], stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(wrong)?;
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
    // `Output` compares in constant time.
    Ok(Output::new(&output).map_err(wrong)? == expected)
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

    #[test]
    fn a_hash_is_owasps_argon2id_and_salted() {
        let stored = hash(b"ldk_1").unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(stored, hash(b"ldk_1").unwrap());
        assert!(verify(b"ldk_1", &stored).unwrap());
        assert!(!verify(b"ldk_2", &stored).unwrap());
    }

    #[test]
    fn it_is_the_same_argon2_as_everybodys() {
        let stored = hash(b"ldk_1").unwrap();
        assert!(
            Argon2::default()
                .verify_password(b"ldk_1", stored.as_str())
                .is_ok()
        );
        let params = Params::new(8, 1, 1, None).unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let theirs = cheap
            .hash_password_with_salt(b"ldk_1", &[7; 16])
            .unwrap()
            .to_string();
        assert!(verify(b"ldk_1", &theirs).unwrap());
        assert!(!verify(b"ldk_2", &theirs).unwrap());
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
    fn each_failure_costs_the_same_number_of_hashes() {
        let [now, before, nobody] = ["ldk_now", "ldk_before", "?"].map(|key| hash(key.as_bytes()));
        let (now, before, nobody) = (now.unwrap(), before.unwrap(), nobody.unwrap());
        let cost = |key: &str, current: Option<&str>, predecessor: Option<&str>| {
            let candidates = [
                Candidate::new(Proven::Current, current, &nobody),
                Candidate::new(Proven::Predecessor, predecessor, &nobody),
            ];
            let already = COMPUTED.get();
            let proven = prove(key.as_bytes(), &candidates).unwrap();
            (proven, COMPUTED.get() - already)
        };
        let (now, before) = (Some(now.as_str()), Some(before.as_str()));
        for known in [(None, None), (now, None), (now, before)] {
            assert_eq!(cost("ldk_wrong", known.0, known.1), (None, 2), "{known:?}");
            // Not even the key behind nobody's hash opens anything.
            assert_eq!(cost("?", known.0, known.1), (None, 2), "{known:?}");
        }
        assert_eq!(cost("ldk_now", now, None), (Some(Proven::Current), 1));
        assert_eq!(cost("ldk_now", now, before), (Some(Proven::Current), 1));
        assert_eq!(
            cost("ldk_before", now, before),
            (Some(Proven::Predecessor), 2)
        );
    }

    #[tokio::test]
    async fn nobodys_key_is_never_right() {
        let passwords = Passwords::new().await.unwrap();
        assert_eq!(passwords.prove("ldk_1", None, None).await.unwrap(), None);
        let stored = passwords.hash("ldk_1").await.unwrap();
        let proven = passwords.prove("ldk_1", Some(&stored), None).await.unwrap();
        assert_eq!(proven, Some(Proven::Current));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_without_hashing() {
        let passwords = Passwords::new().await.unwrap();
        let flood = (0..QUEUE_MAX + 16).map(|_| passwords.prove("ldk_1", None, None));
        let answers = futures_util::future::join_all(flood).await;
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(ApiError::TooManyRequests { .. })))
            .count();
        assert_eq!(refused, 16);
        let after = passwords.prove("ldk_1", None, None).await;
        assert_eq!(after.unwrap(), None, "it is over");
    }
}
