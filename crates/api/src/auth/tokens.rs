//! Tokens: short-lived JWTs (HS256), verified without a query.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_types::{Secret, TokenAnswer, TokenType};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ledger_core::BotId;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::keys::{Key, KeyRing, hex, sha256};

/// The lifetime of a token: 30 minutes.
pub(crate) const TOKEN_SECONDS: i64 = 30 * 60;
const ISSUER: &str = "ledgerdome";
const AUDIENCE: &str = "arena";

/// Makes tokens under `SECRET_KEY`, and verifies those of its predecessors, too.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    header: Header,
    /// By key id; the present one first.
    decoding: Vec<(String, DecodingKey)>,
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
    /// The number of the credentials it was bought with: their rotation ends it.
    ver: i64,
}

/// The claims of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) bot: BotId,
    /// The number of the credentials it was bought with.
    pub(crate) version: i64,
}

/// Identifies a key without revealing it.
fn key_id(key: &Key) -> String {
    hex(&sha256(key.bytes())[..8])
}

impl Tokens {
    pub(crate) fn new(keys: &KeyRing) -> Tokens {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key_id(&keys.current));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        let decoding = |key: &Key| (key_id(key), DecodingKey::from_secret(key.bytes()));
        Tokens {
            encoding: EncodingKey::from_secret(keys.current.bytes()),
            header,
            decoding: keys.all().map(decoding).collect(),
            validation,
        }
    }

    /// A token for `bearer`, valid for [`TOKEN_SECONDS`], or for `at_most` if that is less.
    pub(crate) fn issue(
        &self,
        bearer: Bearer,
        at_most: Option<Duration>,
    ) -> Result<TokenAnswer, ApiError> {
        let at_most = at_most.and_then(|most| i64::try_from(most.as_secs()).ok());
        let seconds = at_most.unwrap_or(TOKEN_SECONDS).min(TOKEN_SECONDS);
        let now = seconds_now();
        let claims = Claims {
            sub: bearer.bot.to_string(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now.saturating_add(seconds),
            ver: bearer.version,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding)
            .map_err(|error| ApiError::Internal(format!("cannot sign a token: {error}")))?;
        let access_token = Secret::new(token);
        Ok(TokenAnswer { access_token, token_type: TokenType::Bearer, expires_in: seconds })
    }

    /// Whether it has the form of a JWT.
    pub(crate) fn is_of_their_form(token: &str) -> bool {
        jsonwebtoken::decode_header(token).is_ok()
    }

    /// The remaining lifetime of one of our tokens in seconds, by its own claims; the signature is
    /// not checked. `None` for an invalid token.
    pub(crate) fn seconds_left(token: &str) -> Option<i64> {
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token).ok()?;
        Some(claims.exp.saturating_sub(seconds_now()).max(0))
    }

    /// The bot of a token; `None` if it was not issued here, or has expired. Whether its
    /// credentials were rotated away is another question.
    pub(crate) fn verify(&self, token: &str) -> Option<Bearer> {
        let named = jsonwebtoken::decode_header(token).ok()?.kid?;
        let (_, key) = self.decoding.iter().find(|(kid, _)| *kid == named)?;
        let token = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?;
        let bot = token.claims.sub.parse().ok()?;
        Some(Bearer { bot, version: token.claims.ver })
    }
}

fn seconds_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MIA: Bearer = Bearer { bot: BotId(12), version: 3 };

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn tokens(current: u8, previous: &[u8]) -> Tokens {
        Tokens::new(&KeyRing {
            current: key(current),
            previous: previous.iter().copied().map(key).collect(),
        })
    }

    fn issue(tokens: &Tokens) -> String {
        tokens.issue(MIA, None).unwrap().access_token.expose().to_owned()
    }

    /// A token with this header and these claims, signed with the right key.
    fn signed(header: &Header, change: impl Fn(&mut Claims)) -> String {
        let now = seconds_now();
        let mut claims = Claims {
            sub: "12".to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now + 60,
            ver: 3,
        };
        change(&mut claims);
        let key = EncodingKey::from_secret(key(7).bytes());
        jsonwebtoken::encode(header, &claims, &key).unwrap()
    }

    #[test]
    fn a_token_names_its_bot_until_it_is_over() {
        let tokens = tokens(7, &[]);
        assert_eq!(tokens.verify(&issue(&tokens)), Some(MIA));
        assert_eq!(tokens.verify(&signed(&tokens.header, |_| ())), Some(MIA));
        let over = signed(&tokens.header, |claims| claims.exp = seconds_now() - 1);
        assert_eq!(tokens.verify(&over), None);
    }

    #[test]
    fn a_token_lives_no_longer_than_what_it_was_bought_with() {
        let tokens = tokens(7, &[]);
        let seconds = |most: Option<u64>| {
            let most = most.map(Duration::from_secs);
            tokens.issue(MIA, most).unwrap().expires_in
        };
        assert_eq!(seconds(None), TOKEN_SECONDS);
        assert_eq!(seconds(Some(90)), 90);
        assert_eq!(seconds(Some(86_400)), TOKEN_SECONDS);
    }

    #[test]
    fn every_claim_counts() {
        let tokens = tokens(7, &[]);
        let refused = |change: fn(&mut Claims)| tokens.verify(&signed(&tokens.header, change));
        assert_eq!(refused(|claims| claims.iss = "elsewhere".to_owned()), None);
        assert_eq!(refused(|claims| claims.aud = "elsewhere".to_owned()), None);
        assert_eq!(refused(|claims| claims.sub = "mia".to_owned()), None);
    }

    #[test]
    fn tokens_of_an_earlier_secret_key_live_on_while_it_is_listed() {
        let (old, new) = (tokens(7, &[]), tokens(8, &[6, 7]));
        assert_eq!(new.verify(&issue(&old)), Some(MIA));
        assert_eq!(tokens(8, &[6]).verify(&issue(&old)), None);
        // New tokens are signed with the new key.
        assert_eq!(old.verify(&issue(&new)), None);
        // A listed key's name does not help a token that another key signed.
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key_id(&key(6)));
        assert_eq!(new.verify(&signed(&header, |_| ())), None);
    }

    #[test]
    fn other_keys_kids_and_algorithms_are_refused() {
        let tokens = tokens(7, &[]);
        let other = super::tests::tokens(8, &[]);
        assert_eq!(tokens.verify(&issue(&other)), None);
        let no_kid = Header::new(Algorithm::HS256);
        assert_eq!(tokens.verify(&signed(&no_kid, |_| ())), None);
        let mut stronger = Header::new(Algorithm::HS512);
        stronger.kid.clone_from(&tokens.header.kid);
        assert_eq!(tokens.verify(&signed(&stronger, |_| ())), None);
        // {"alg":"none"} with and without the key's id, the claims of a good token, no signature.
        let good = issue(&tokens);
        let claims = good.split('.').nth(1).unwrap();
        let kid = tokens.header.kid.as_deref().unwrap();
        let named = base64url(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#));
        for header in ["eyJhbGciOiJub25lIn0", named.as_str()] {
            assert_eq!(tokens.verify(&format!("{header}.{claims}.")), None);
        }
        assert_eq!(tokens.verify(""), None);
    }

    fn base64url(text: &str) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::new();
        for chunk in text.as_bytes().chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                let six = bits >> (18 - 6 * digit) & 63;
                out.push(char::from(DIGITS[usize::try_from(six).unwrap()]));
            }
        }
        out
    }
}
