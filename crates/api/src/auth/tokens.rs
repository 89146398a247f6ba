//! Tokens: short-lived JWTs (HS256) that are verified without asking anybody.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ledger_core::BotId;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::keys::{Key, hex, sha256};

/// How long a token is good for: 30 minutes.
pub(crate) const TOKEN_SECONDS: i64 = 30 * 60;
const ISSUER: &str = "ledgerdome";
const AUDIENCE: &str = "arena";

/// Makes and verifies tokens under one key.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    header: Header,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// The bot's id.
    sub: String,
    iss: String,
    aud: String,
    /// Seconds since the Unix epoch.
    iat: i64,
    exp: i64,
}

impl Tokens {
    pub(crate) fn new(key: &Key) -> Tokens {
        let mut header = Header::new(Algorithm::HS256);
        // Names the key without telling it, so that tokens of an older SECRET_KEY are recognised.
        header.kid = Some(hex(&sha256(key)[..8]));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        Tokens {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            header,
            validation,
        }
    }

    /// A token for `bot`, good for [`TOKEN_SECONDS`].
    pub(crate) fn issue(&self, bot: BotId) -> Result<String, ApiError> {
        let now = seconds_now();
        let claims = Claims {
            sub: bot.to_string(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now.saturating_add(TOKEN_SECONDS),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.encoding)
            .map_err(|error| ApiError::Internal(format!("cannot sign a token: {error}")))
    }

    /// The bot a token stands for; `None` if it was not made here, or is over.
    pub(crate) fn verify(&self, token: &str) -> Option<BotId> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?;
        if token.header.kid != self.header.kid {
            return None;
        }
        token.claims.sub.parse().ok()
    }
}

fn seconds_now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KEY: Key = [7; 32];

    /// A token with this header and these claims, signed with the right key.
    fn signed(header: &Header, change: impl Fn(&mut Claims)) -> String {
        let now = seconds_now();
        let mut claims = Claims {
            sub: "12".to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now + 60,
        };
        change(&mut claims);
        let key = EncodingKey::from_secret(&KEY);
        jsonwebtoken::encode(header, &claims, &key).unwrap()
    }

    #[test]
    fn a_token_names_its_bot_until_it_is_over() {
        let tokens = Tokens::new(&KEY);
        let token = tokens.issue(BotId(12)).unwrap();
        assert_eq!(tokens.verify(&token), Some(BotId(12)));
        assert_eq!(
            tokens.verify(&signed(&tokens.header, |_| ())),
            Some(BotId(12))
        );
        let over = signed(&tokens.header, |claims| claims.exp = seconds_now() - 1);
        assert_eq!(tokens.verify(&over), None);
    }

    #[test]
    fn every_claim_counts() {
        let tokens = Tokens::new(&KEY);
        let refused = |change: fn(&mut Claims)| tokens.verify(&signed(&tokens.header, change));
        assert_eq!(refused(|claims| claims.iss = "elsewhere".to_owned()), None);
        assert_eq!(refused(|claims| claims.aud = "elsewhere".to_owned()), None);
        assert_eq!(refused(|claims| claims.sub = "mia".to_owned()), None);
    }

    #[test]
    fn other_keys_kids_and_algorithms_are_refused() {
        let tokens = Tokens::new(&KEY);
        let other = Tokens::new(&[8; 32]);
        assert_eq!(tokens.verify(&other.issue(BotId(12)).unwrap()), None);
        let no_kid = Header::new(Algorithm::HS256);
        assert_eq!(tokens.verify(&signed(&no_kid, |_| ())), None);
        let mut stronger = Header::new(Algorithm::HS512);
        stronger.kid.clone_from(&tokens.header.kid);
        assert_eq!(tokens.verify(&signed(&stronger, |_| ())), None);
        // {"alg":"none"} with the claims of a good token and no signature.
        let good = tokens.issue(BotId(12)).unwrap();
        let claims = good.split('.').nth(1).unwrap();
        assert_eq!(
            tokens.verify(&format!("eyJhbGciOiJub25lIn0.{claims}.")),
            None
        );
        assert_eq!(tokens.verify(""), None);
    }
}
