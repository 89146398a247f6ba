//! Tokens that prove nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use api_types::ProblemKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{refused, targets};
use crate::service::{Answer, SECRET_KEY, Service};
use crate::state::State;

/// Base64url without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// Signs claims with the arena's own key: only the claims of a token can be wrong.
fn token(key: &[u8], kid: &str, claims: &Value) -> String {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(kid.to_owned());
    let key = jsonwebtoken::EncodingKey::from_secret(key);
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

#[tokio::test]
async fn a_token_that_proves_nothing_opens_no_route() {
    let service = Service::new().await;
    let (bot, mut targets) = targets(&service).await;
    targets.retain(|target| target.credential.0 == "X-Agent-Secret");
    let login = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let good = service.post("/auth/token", &login).await.json();
    let good = good["access_token"].as_str().unwrap();
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let kid = jsonwebtoken::decode_header(good).unwrap().kid.unwrap();
    let identity = service.arena.database().identity().await.unwrap();
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(identity.as_bytes()), SECRET_KEY.as_bytes())
        .expand(b"ledgerdome/token/v1", &mut key)
        .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sound = json!({ "sub": bot.id.to_string(), "iss": "ledgerdome", "aud": "arena",
                        "iat": now, "exp": now + 600, "ver": 1 });
    let with = |name: &str, value: Value| {
        let mut claims = sound.clone();
        claims[name] = value;
        token(&key, &kid, &claims)
    };
    let me = service.request(Method::GET, "/bots/me");
    let own = me.bearer_auth(token(&key, &kid, &sound));
    assert_eq!(Answer::of(own).await.status, 200, "the key is the arena's");
    let none = |alg: &str| base64(format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}").as_bytes());
    let tokens = [
        ("none", format!("{}.{claims}.", none("none"))),
        ("None", format!("{}.{claims}.{signature}", none("None"))),
        ("RS256", format!("{}.{claims}.{signature}", none("RS256"))),
        ("no signature", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("other key", token(&[7; 32], &kid, &sound)),
        ("other kid", token(&key, "0000000000000000", &sound)),
        ("other audience", with("aud", json!("elsewhere"))),
        ("no audience", with("aud", Value::Null)),
        ("other issuer", with("iss", json!("nobody"))),
        ("expired", with("exp", json!(now - 1))),
        ("never expires", with("exp", Value::Null)),
        ("expires as text", with("exp", json!("soon"))),
        ("nobody", with("sub", json!("0"))),
        ("no number", with("sub", json!("' OR 1=1 --"))),
    ];
    let before = State::of(&service.arena).await;
    for target in &targets {
        for (name, token) in &tokens {
            let request = service.request(target.method.clone(), &target.path);
            let answer = Answer::of(request.bearer_auth(token).json(&target.body)).await;
            let what = format!("{} {name}", target.path);
            assert_eq!(refused(&answer, &bot, &what), ProblemKind::Unauthorized, "{what}");
            assert!(!answer.text().contains(token.as_str()), "{what}");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "tokens that prove nothing");
    let retire = service.operator(Method::DELETE, &format!("/bots/{}", bot.id));
    Answer::of(retire).await.json();
    let before = State::of(&service.arena).await;
    for target in targets {
        if target.path == "/metrics/usage" {
            continue;
        }
        let request = service.request(target.method, &target.path);
        let answer = Answer::of(request.bearer_auth(good).json(&target.body)).await;
        assert_eq!(refused(&answer, &bot, &target.path), ProblemKind::BotNotAlive);
    }
    let after = State::of(&service.arena).await;
    after.rows_must_be(&before, "a retired bot's token");
}
