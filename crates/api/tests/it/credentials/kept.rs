//! Answers with secrets, which are repeated as long as their credentials are valid.

use super::*;

#[tokio::test]
async fn a_lost_answer_comes_again_under_the_old_token() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let old = token(&service, &bot, &bot.api_key).await;
    let path = format!("/bots/{}/keys", bot.id);
    let ask = || {
        let request = service.request(Method::POST, &path).bearer_auth(&old);
        Answer::of(request.header("Idempotency-Key", RANDOM_KEY))
    };
    let (first, again) = (ask().await, ask().await);
    assert_eq!(first.status, 200);
    assert_eq!(first.text(), again.text());
}

#[tokio::test]
async fn no_answer_with_secrets_is_kept_under_a_key_that_can_be_guessed() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let rotated = rotation(&service, &bot, &bot.api_secret, &json!({}));
    let body = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let token = service.request(Method::POST, "/auth/token").json(&body);
    let by_operator = service.operator(Method::POST, &format!("/bots/{}/keys", bot.id));
    for request in [rotated, token, by_operator] {
        let answer = Answer::of(request.header("Idempotency-Key", "rotate-1")).await;
        answer.refuses_field("Idempotency-Key");
    }
    assert_eq!(by_secret(&service, &bot.api_secret).await.status, 200);
}

/// Changes of a bot with old answers, and the expected answers.
struct Kept {
    service: Service,
    bot: TestBot,
}

impl Kept {
    /// A bot that came by `POST /bots`, logged in and got its answers under keys.
    async fn new() -> (Kept, Answer, Answer) {
        let service = Service::new().await;
        let registered = Kept::register(&service).await;
        let told: api_types::Registration = registered.ok();
        let bot = TestBot {
            id: told.id,
            handle: told.handle,
            api_key: told.api_key.expose().to_owned(),
            api_secret: told.api_secret.expose().to_owned(),
        };
        let kept = Kept { service, bot };
        let login = kept.login().await;
        assert_eq!(login.status, 200);
        let again = (Kept::register(&kept.service).await, kept.login().await);
        assert_eq!(again.0.body, registered.body);
        same_login(&login, &again.1);
        (kept, registered, login)
    }

    async fn register(service: &Service) -> Answer {
        let request = service.request(Method::POST, "/bots");
        let request = request.json(&json!({ "handle": "Mia" }));
        Answer::of(request.header("Idempotency-Key", RANDOM_KEY)).await
    }

    async fn login(&self) -> Answer {
        let body = json!({ "handle": self.bot.handle, "api_key": self.bot.api_key });
        let request = self.service.request(Method::POST, "/auth/token").json(&body);
        Answer::of(request.header("Idempotency-Key", RANDOM_KEY)).await
    }

    async fn rotate(&self, secret: &str, grace: u32, key: &str) -> Answer {
        let body = json!({ "grace_seconds": grace });
        let request = rotation(&self.service, &self.bot, secret, &body);
        Answer::of(request.header("Idempotency-Key", key)).await
    }

    /// None of the old answers is repeated, and each request gets a new answer.
    async fn tell_nothing(&self) {
        let registered = Kept::register(&self.service).await;
        registered.problem(ProblemKind::HandleTaken);
        self.login().await.problem(ProblemKind::Unauthorized);
    }
}

#[tokio::test]
async fn kept_answers_end_with_a_rotation_without_grace() {
    let (kept, ..) = Kept::new().await;
    let first = kept.rotate(&kept.bot.api_secret, 0, RANDOM_KEY).await;
    assert_eq!(first.status, 200);
    kept.tell_nothing().await;
    // Its own answer has the present pair, and ends with the next rotation.
    let again = kept.rotate(&kept.bot.api_secret, 0, RANDOM_KEY).await;
    assert_eq!(again.body, first.body);
    let second: RotatedKeys = first.ok();
    rotate(&kept.service, &kept.bot, second.api_secret.expose(), 0).await;
    let again = kept.rotate(&kept.bot.api_secret, 0, RANDOM_KEY).await;
    again.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn kept_answers_end_with_the_grace_of_what_they_tell_of() {
    let (kept, registered, login) = Kept::new().await;
    let answer = kept.rotate(&kept.bot.api_secret, 600, RANDOM_KEY).await;
    assert_eq!(answer.status, 200);
    assert_eq!(Kept::register(&kept.service).await.body, registered.body);
    same_login(&login, &kept.login().await);
    end_grace(&kept.service.arena).await;
    kept.tell_nothing().await;
}

#[tokio::test]
async fn kept_answers_end_when_an_operator_gives_new_keys() {
    let (kept, ..) = Kept::new().await;
    let path = format!("/bots/{}/keys", kept.bot.id);
    let request = kept.service.operator(Method::POST, &path);
    assert_eq!(Answer::of(request).await.status, 200);
    kept.tell_nothing().await;
}

#[tokio::test]
async fn kept_answers_end_when_a_leaked_key_is_replaced() {
    let (kept, ..) = Kept::new().await;
    let other = kept.service.arena.bot().create().await;
    let owner = kept.service.arena.owner_client().await;
    let sql = "SELECT api_key_hash FROM bots WHERE id = $1";
    let hash: String = owner.query_one(sql, &[&other.id.0]).await.unwrap().get(0);
    let mut conn = kept.service.arena.conn().await;
    db::credentials::replace_api_key(&mut conn, kept.bot.id, &hash, "ops").await.unwrap();
    kept.tell_nothing().await;
}

#[tokio::test]
async fn kept_answers_end_with_a_retirement() {
    let (kept, ..) = Kept::new().await;
    let retire = kept.service.operator(Method::DELETE, &format!("/bots/{}", kept.bot.id));
    assert_eq!(Answer::of(retire).await.status, 200);
    Kept::register(&kept.service).await.problem(ProblemKind::HandleTaken);
    // Its key is as good as before: it may still read. No answer of a retired bot is stored, so each login gets a
    // new answer, even with the same key.
    for _ in 0..2 {
        let fresh = kept.login().await;
        assert_eq!(
            (fresh.status.as_u16(), fresh.header("Idempotency-Replayed")),
            (200, None),
            "{}",
            fresh.text()
        );
        let token = fresh.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(by_token(&kept.service, &token).await.status, 200);
    }
}

#[tokio::test]
async fn kept_answers_end_with_the_arenas_identity() {
    let (kept, _, login) = Kept::new().await;
    let Kept { service, bot } = kept;
    let arena = service.stop().await;
    db::backup::begin_anew(&arena.owner_url()).await.unwrap();
    let service = Service::halted(arena, |_| ()).await;
    Kept::register(&service).await.problem(ProblemKind::HandleTaken);
    let kept = Kept { service, bot };
    let fresh = kept.login().await;
    assert_eq!((fresh.status.as_u16(), fresh.header("Idempotency-Replayed")), (200, None));
    assert_ne!(fresh.body, login.body);
    let token = fresh.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(by_token(&kept.service, &token).await.status, 200);
}

#[tokio::test]
async fn a_token_is_repeated_no_longer_than_it_is_good() {
    let (kept, _, login) = Kept::new().await;
    let owner = kept.service.arena.owner_client().await;
    let sql = "SELECT round(extract(epoch FROM expires_at - created_at))::bigint \
                 FROM idempotency_keys ORDER BY created_at DESC LIMIT 1";
    let seconds: i64 = owner.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(Some(seconds), login.json()["expires_in"].as_i64());
}
