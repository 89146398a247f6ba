//! Markets of all four kinds with real processes: opened, bet on, resolved and paid.

use reqwest::Client;
use serde_json::{Value, json};
use system_tests::stack::Stack;
use test_kit::eventually;
use test_kit::outside::Outside;

use crate::day::{HASTY, get, hasty_personas};

pub(crate) struct Agent {
    http: Client,
    base: String,
    id: i64,
    secret: String,
}

impl Agent {
    pub(crate) async fn register(stack: &Stack, handle: &str) -> Agent {
        let http = Client::new();
        let base = format!("http://127.0.0.1:{}", stack.api_port);
        let answer = http
            .post(format!("{base}/bots"))
            .json(&json!({ "handle": handle }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let bot: Value = answer.json().await.unwrap();
        Agent {
            http,
            base,
            id: bot["id"].as_i64().unwrap(),
            secret: bot["api_secret"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header("X-Agent-Secret", &self.secret);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// The answer, where the arena took it.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("X-Agent-Secret", &self.secret).json(body);
        let answer = request.send().await.unwrap();
        assert!(!answer.status().is_server_error(), "{path}");
        match answer.status().is_success() {
            true => Some(answer.json().await.unwrap()),
            false => None,
        }
    }
}

async fn markets(stack: &Stack, filter: &str) -> Vec<Value> {
    let list = get(stack, &format!("/markets?limit=200&{filter}")).await;
    list["items"].as_array().unwrap().clone()
}

/// Looks a title up where the arena's own tool would.
async fn page_id(outside: &Outside, title: &str) -> String {
    let title = title.replace(' ', "_");
    let url = format!("http://{}/api/rest_v1/page/summary/{title}", outside.address);
    let article: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    article["pageid"].to_string()
}

/// Lets the deadline of every market pass on which as many bets are of `handles`, as the owner of the database can:
/// nobody waits half an hour for the weather here.
pub(crate) async fn pass_deadlines(stack: &Stack, bets_min: i64, handles: &[&str]) {
    let mut owner = test_kit::connect(&stack.written("DATABASE_OWNER_URL")).await;
    let one = owner.transaction().await.unwrap();
    let due = "SELECT id FROM markets m \
                WHERE status = 'OPEN' AND source <> 'RESEARCH' AND deadline > now() \
                  AND $1 <= (SELECT count(*) FROM bets b JOIN bots o ON o.id = b.bot_id \
                              WHERE b.market_id = m.id AND o.handle = ANY($2)) FOR UPDATE";
    let due = one.query(due, &[&bets_min, &handles]).await.unwrap();
    let due: Vec<uuid::Uuid> = due.iter().map(|market| market.get(0)).collect();
    // A statement of its own: it sees the bets for which the lock had to wait. Bets move along, since the audit looks
    // at when they were placed.
    one.execute(
        "WITH due AS MATERIALIZED ( \
            SELECT id, deadline - now() AS early FROM markets WHERE id = ANY($1)), \
         bets AS (UPDATE bets b SET created_at = created_at - early FROM due \
                   WHERE b.market_id = due.id) \
         UPDATE markets m SET opens_at = opens_at - early, bets_close_at = bets_close_at - early, \
                next_try_at = next_try_at - early, deadline = now() \
           FROM due WHERE m.id = due.id",
        &[&due],
    )
    .await
    .unwrap();
    one.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_kinds_are_opened_bet_on_resolved_and_paid() {
    let outside = Outside::start().await;
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let urls = outside.settings();
    let mut settings: Vec<(&str, &str)> = HASTY.to_vec();
    settings.extend(urls.lines().filter_map(|line| line.split_once('=')));
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("ENFORCEMENT_MODE", "observe"),
        ("MARKET_PLACES", "16"),
        ("BOUNTY_BUDGET_PER_HOUR", "100000.00"),
        ("RESEARCH_SECONDS", "20"),
        ("GITHUB_WEIGHT", "40"),
        ("NEWS_WEIGHT", "40"),
        ("WEATHER_WEIGHT", "40"),
    ]);
    let (stack, _) = Stack::start(&settings).await;
    let [yes, no] =
        [Agent::register(&stack, "yes-sayer").await, Agent::register(&stack, "no-sayer").await];
    for source in ["GITHUB", "NEWS", "WEATHER"] {
        eventually(&format!("{source} is bet on from both sides"), || async {
            let open = markets(&stack, &format!("status=OPEN&source={source}")).await;
            let id = open.first()?["id"].as_str()?.to_owned();
            let bet = |side: &str| json!({"side": side, "stake": "5.00", "confidence": "0.60"});
            let path = format!("/markets/{id}/bets");
            let (for_it, against) =
                (yes.post(&path, &bet("YES")).await, no.post(&path, &bet("NO")).await);
            (for_it.is_some() && against.is_some()).then_some(())
        })
        .await;
    }
    eventually("research is solved by somebody who looked it up", || async {
        let open = markets(&stack, "status=OPEN&source=RESEARCH").await;
        let market = open.first()?;
        let title = market["criteria"]["article"].as_str()?;
        let answer = page_id(&outside, title).await;
        let body = json!({"answer": answer, "used_lookup": true, "confidence": "0.95"});
        let path = format!("/markets/{}/answers", market["id"].as_str()?);
        let judged = yes.post(&path, &body).await?;
        (judged["result"] == "CORRECT" && judged["payout"] == "26.00000000").then_some(())
    })
    .await;
    pass_deadlines(&stack, 2, &["yes-sayer", "no-sayer"]).await;
    for source in ["GITHUB", "NEWS", "WEATHER", "RESEARCH"] {
        let id = eventually(&format!("{source} is resolved and paid"), || async {
            let resolved = markets(&stack, &format!("status=RESOLVED&source={source}")).await;
            Some(resolved.first()?["id"].as_str()?.to_owned())
        })
        .await;
        let (follows, report) = stack.arenactl(&["resolve", "--explain", &id]);
        assert!(follows && report.contains("follows."), "{report}");
    }
    for agent in [&yes, &no] {
        let insights = get(&stack, &format!("/insights/{}", agent.id)).await;
        assert!(insights["produced"]["settled"].as_i64().unwrap() >= 3, "{insights}");
        let verify = get(&stack, &format!("/bots/{}/ledger/verify", agent.id)).await;
        assert!(verify["valid"] == true && verify["complete"] == true, "{verify}");
    }
    let (sound, report) = stack.arenactl(&["inspect-ledger"]);
    assert!(sound, "{report}");
    assert_eq!(stack.stop(), Some(0));
}
