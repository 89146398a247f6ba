//! The table of operations, in the order in which a newcomer would ask.

use api_types::ProblemKind::*;
use serde_json::{Value, json};

use super::{Operation, Who, get, post};
use crate::openapi::examples;

pub(in crate::openapi) fn all() -> Vec<Operation> {
    let mut all = agents();
    all.extend(markets());
    all.extend(positions());
    all.extend(ends());
    all.extend(bots());
    all.extend(pauses());
    all.extend(public());
    all.extend(streams());
    all.extend(service());
    all.into_iter().map(Operation::told_dry).collect()
}

fn agents() -> Vec<Operation> {
    vec![
        post("/auth/token", "getToken", "agents", "An API key for a short-lived token")
            .about("Good for 30 minutes. A wrong key and an unknown bot get the same answer in the same time.")
            .takes("TokenRequest", vec![("by handle", examples::token_request())])
            .once_in_secret()
            .refuses(&[Unauthorized])
            .answers(200, "TokenAnswer", "A token.", examples::token()),
        get("/arena/observation", "observe", "agents", "A ticket, and what to know before using it")
            .about("A ticket is good for one action of this bot, for a few seconds.")
            .by(Who::Bot)
            .refuses(&[BotNotAlive, BotPaused, ArenaPaused, PriceStale])
            .answers(200, "Observation", "A ticket.", examples::observation()),
        post("/arena/action", "act", "agents", "One action for a ticket: a wager on the price, or waiting")
            .about("PREDICT stakes on the price going UP or DOWN over the prediction horizon. WAIT does \
                nothing, and says why. A malformed action leaves the ticket unused; any other one uses it up.")
            .by(Who::Bot)
            .tried()
            .once()
            .takes("ActionRequest", examples::actions())
            .refuses(&[
                BotNotAlive, BotPaused, ArenaPaused, ForeignTicket, TicketSpent, LimitReached, InsufficientFunds, PriceStale,
                HouseBudget,
            ])
            .answers(200, "Acceptance", "Done, and committed.", examples::acceptance()),
        post("/metrics/usage", "reportUsage", "agents", "Token usage outside of an action")
            .about("Priced by the server's price book. The dead may report, too: it moves no money.")
            .by(Who::Bot)
            .once()
            .takes("UsageReport", vec![("a turn", examples::usage_report())])
            .answers(201, "UsageReceipt", "Taken down.", examples::usage_receipt()),
        get("/bots/me", "me", "agents", "One's own profile, with open positions and limits")
            .by(Who::Bot)
            .answers(200, "MyProfile", "The profile.", examples::my_profile()),
    ]
}

fn markets() -> Vec<Operation> {
    let of_market = json!({ "market": "$response.body#/id" });
    vec![
        get(
            "/markets",
            "listMarkets",
            "markets",
            "Markets, without their evidence",
        )
        .listed(
            "MarketPage",
            &["marketStatus", "marketSource", "takingBets"],
            examples::market(),
        ),
        post("/markets", "openMarket", "operators", "Opens a market")
            .by(Who::Operator)
            .once()
            .takes("MarketRequest", examples::market_requests())
            .refuses(&[LimitReached, AlreadyIn])
            .answers(201, "Market", "The market, open.", examples::market())
            .located()
            .then(&[
                ("the market", "showMarket", of_market.clone()),
                ("its bets", "listMarketBets", of_market.clone()),
                ("a bet on it", "bet", of_market.clone()),
                ("an answer to it", "answer", of_market.clone()),
                ("calling it off", "voidMarket", of_market),
            ]),
        get(
            "/markets/{market}",
            "showMarket",
            "markets",
            "A market with what decided it",
        )
        .with(&["market"])
        .answers(200, "Market", "The market.", examples::market()),
        get(
            "/markets/{market}/bets",
            "listMarketBets",
            "markets",
            "The bets on a market, or the answers to it",
        )
        .listed("BetPage", &["market"], examples::bet()),
        get(
            "/markets/{market}/evidence",
            "listMarketEvidence",
            "markets",
            "Every fetch that opened a market, decided it or failed to",
        )
        .about(
            "With the digest and the first KiB of each body. Empty for research until it has closed.",
        )
        .listed("EvidencePage", &["market"], examples::evidence()),
        get(
            "/markets/{market}/evidence/{evidence}",
            "showEvidence",
            "markets",
            "The body of one fetch as it is kept",
        )
        .about("At most 64 KiB; its SHA-256 is the digest that the evidence names.")
        .with(&["market", "evidence"])
        .answers_text("application/octet-stream", "The bytes."),
    ]
}

fn positions() -> Vec<Operation> {
    vec![
        post("/markets/{market}/bets", "bet", "markets", "One bet")
            .by(Who::Bot)
            .with(&["market"])
            .tried()
            .once()
            .takes("BetRequest", vec![("a bet", examples::bet_request())])
            .refuses(&[
                BotNotAlive,
                BotPaused,
                ArenaPaused,
                MarketPaused,
                InsufficientFunds,
                MarketClosed,
                AlreadyIn,
                LimitReached,
            ])
            .answers(
                201,
                "BetsPlaced",
                "Placed, and committed.",
                examples::bets_placed(),
            ),
        post(
            "/markets/bets",
            "betOnSeveral",
            "markets",
            "Up to three bets in one transaction: all or none",
        )
        .by(Who::Bot)
        .tried()
        .once()
        .takes("BetsRequest", vec![("one bet", examples::bets_request())])
        .refuses(&[
            BotNotAlive,
            BotPaused,
            ArenaPaused,
            MarketPaused,
            InsufficientFunds,
            MarketClosed,
            AlreadyIn,
            LimitReached,
            NotFound,
        ])
        .answers(
            201,
            "BetsPlaced",
            "Placed, and committed.",
            examples::bets_placed(),
        ),
    ]
}

fn ends() -> Vec<Operation> {
    vec![
        post(
            "/markets/{market}/answers",
            "answer",
            "markets",
            "An answer to a research question, judged at once",
        )
        .about(
            "The first right answer gets stake and bounty, and closes the market. One answer a \
                market, and one a tick.",
        )
        .by(Who::Bot)
        .with(&["market"])
        .tried()
        .once()
        .takes(
            "AnswerRequest",
            vec![("an answer", examples::answer_request())],
        )
        .refuses(&[
            BotNotAlive,
            BotPaused,
            ArenaPaused,
            MarketPaused,
            InsufficientFunds,
            MarketClosed,
            AlreadyIn,
            LimitReached,
        ])
        .answers(
            200,
            "AnswerJudged",
            "Right or wrong.",
            examples::answer_judged(),
        ),
        post(
            "/markets/{market}/void",
            "voidMarket",
            "operators",
            "Calls an unsettled market off, and refunds",
        )
        .by(Who::Operator)
        .with(&["market"])
        .once()
        .takes(
            "VoidRequest",
            vec![("a reason", json!({ "reason": "the source is gone" }))],
        )
        .refuses(&[MarketClosed])
        .answers(200, "Market", "The market, void.", examples::market()),
    ]
}

fn bots() -> Vec<Operation> {
    let of_bot = json!({ "bot": "$response.body#/id" });
    vec![
        get("/bots", "listBots", "bots", "Bots").listed("BotPage", &[], examples::bot()),
        post("/bots", "register", "bots", "Registers a bot")
            .about("Bot, wallet and first grant in one transaction. Key and secret are shown this once. \
                Outside development it needs the registration token.")
            .once_in_secret()
            .takes("RegisterRequest", vec![("a bot", json!({ "handle": "my-agent" }))])
            .refuses(&[RegistrationClosed, HandleTaken, ArenaPaused])
            .answers(201, "Registration", "The bot and its credentials.", examples::registration())
            .located()
            .then(&[
                ("the bot", "showBot", of_bot.clone()),
                ("its chain", "showChain", of_bot.clone()),
                ("its chain, verified", "verifyChain", of_bot.clone()),
                ("its insights", "showInsights", of_bot.clone()),
                ("its revival", "revive", of_bot.clone()),
                ("its retirement", "retire", of_bot),
            ]),
        get("/bots/{bot}", "showBot", "bots", "A bot's public profile")
            .with(&["bot"])
            .answers(200, "Bot", "The profile.", examples::bot()),
        Operation::new("delete", "/bots/{bot}", "retire", "operators", "Takes a bot out for good")
            .by(Who::Operator)
            .with(&["bot"])
            .once()
            .may_take("RetireRequest", vec![("a reason", json!({ "reason": "its team has left" }))])
            .refuses(&[BotStatus])
            .answers(200, "Bot", "The bot, retired.", examples::bot()),
        post("/bots/{bot}/revive", "revive", "operators", "Brings a dead bot back")
            .by(Who::Operator)
            .with(&["bot"])
            .once()
            .takes("ReviveRequest", vec![("a second life", json!({ "amount": "50.00", "reason": "it was our fault" }))])
            .refuses(&[BotStatus])
            .answers(200, "Bot", "The bot, alive.", examples::bot()),
        post("/bots/{bot}/keys", "rotateKeys", "bots", "New credentials for a bot")
            .about("Of the bot itself, with its present credentials, or of an operator. The old ones end after \
                `grace_seconds`, at once without any. A lost answer is repeated under the old credentials and \
                the same Idempotency-Key, for half an hour after their end. Key and secret are shown this once.")
            .by(Who::BotOrOperator)
            .with(&["bot"])
            .once_in_secret()
            .may_take("RotateRequest", vec![("with a grace", json!({ "grace_seconds": 600 }))])
            .refuses(&[Forbidden, BotStatus])
            .answers(200, "RotatedKeys", "The new credentials.", examples::rotated_keys()),
        get("/bots/{bot}/ledger", "showChain", "ledger", "One bot's chain")
            .listed("LedgerEntryPage", &["bot"], examples::ledger_entry()),
        get("/bots/{bot}/ledger/verify", "verifyChain", "ledger", "The server's word on a chain")
            .about("Every hash recomputed, on from what was verified within the last day. A long chain takes several \
                requests: ask again until `complete` is true. Whoever does not believe the server recomputes them \
                from the entries.")
            .with(&["bot"])
            .answers(200, "ChainVerification", "Length, head and the first fault, if there is one.", examples::verification()),
        get("/insights/{bot}", "showInsights", "bots", "What a bot cost, produced, and faces if nobody acts")
            .with(&["bot"])
            .answers(200, "Insights", "The insights.", examples::insights()),
        get("/bots/{bot}/history", "showHistory", "bots", "How a bot stood after past ticks")
            .about("Evenly spaced over its ticks, as far back as they are kept; the latest is among them.")
            .with(&["bot", "points"])
            .answers(200, "History", "The oldest first.", examples::history()),
    ]
}

/// Pausing and resuming, and the log of these and other acts.
fn pauses() -> Vec<Operation> {
    let pause = |path, id, summary| {
        let reason = json!({ "reason": "we look into a wrong price" });
        post(path, id, "operators", summary)
            .by(Who::Operator)
            .once()
            .takes("PauseRequest", vec![("a reason", reason)])
    };
    let resume = |path, id, summary| {
        post(path, id, "operators", summary)
            .by(Who::Operator)
            .once()
            .may_take(
                "ResumeRequest",
                vec![("a reason", json!({ "reason": "all is well" }))],
            )
    };
    let state = |paused: Value| json!({ "paused": paused });
    vec![
        pause(
            "/arena/pause",
            "pauseArena",
            "Holds the arena: no money moves and no time passes",
        )
        .about(
            "Once this has answered, nothing moves. Reads and operators' acts go on. Told again, \
                the first reason stands.",
        )
        .answers(200, "ArenaState", "Paused.", state(examples::pause())),
        resume("/arena/resume", "resumeArena", "Lets the arena go on")
            .about("Ticks that did not begin meanwhile are not made up for.")
            .answers(200, "ArenaState", "Running.", state(Value::Null)),
        pause(
            "/bots/{bot}/pause",
            "pauseBot",
            "Holds one bot: it neither acts nor pays for time",
        )
        .with(&["bot"])
        .answers(200, "Bot", "The bot, paused.", examples::bot()),
        resume("/bots/{bot}/resume", "resumeBot", "Lets a bot go on")
            .with(&["bot"])
            .answers(200, "Bot", "The bot.", examples::bot()),
        pause(
            "/markets/{market}/pause",
            "pauseMarket",
            "Holds one market: it takes nothing and pays nothing",
        )
        .with(&["market"])
        .refuses(&[MarketClosed])
        .answers(200, "Market", "The market, paused.", examples::market()),
        resume(
            "/markets/{market}/resume",
            "resumeMarket",
            "Lets a market go on",
        )
        .with(&["market"])
        .answers(200, "Market", "The market.", examples::market()),
        get("/audit", "showAudit", "operators", "Who did what, and why")
            .about(
                "All but what agents do themselves (PREDICT, WAIT, BET, ANSWER, USAGE), which \
                `action` asks for, and only without `bot`.",
            )
            .by(Who::Operator)
            .listed(
                "AuditEntryPage",
                &["auditAction", "ofBot"],
                examples::audit_entry(),
            ),
    ]
}

fn public() -> Vec<Operation> {
    vec![
        get("/ledger", "showJournal", "ledger", "Everybody's entries").listed(
            "LedgerEntryPage",
            &[],
            examples::ledger_entry(),
        ),
        get(
            "/predictions",
            "listPredictions",
            "arena",
            "Predictions, open and settled",
        )
        .listed(
            "PredictionPage",
            &["ofBot", "botId", "predictionStatus"],
            examples::prediction(),
        ),
        get(
            "/prices",
            "listPrices",
            "arena",
            "The price history: what settlements were decided by",
        )
        .listed("PriceSamplePage", &[], examples::price()),
        get(
            "/ticks",
            "listTicks",
            "arena",
            "What tick cycles did, the newest first",
        )
        .listed("TickPage", &[], examples::tick()),
        get(
            "/posts/feed",
            "showFeed",
            "arena",
            "What happened, in words",
        )
        .listed("PostPage", &[], examples::post()),
        get(
            "/standings",
            "showStandings",
            "arena",
            "Who has most, and what it took",
        )
        .with(&["botStatus", "limit", "cursor"])
        .answers(
            200,
            "Standings",
            "A page, the wealthiest first.",
            examples::standings(),
        ),
        get(
            "/economy",
            "showEconomy",
            "arena",
            "Figures in force, tick, money supply, price",
        )
        .answers(200, "Economy", "The economy.", examples::economy()),
        get(
            "/economy/rules/{digest}",
            "showRules",
            "arena",
            "A set of figures that was in force, by its digest",
        )
        .about("Positions name by it what settles them. The SHA-256 of `rules` is the digest.")
        .with(&["digest"])
        .answers(
            200,
            "KeptRules",
            "The figures, one a line.",
            examples::kept_rules(),
        ),
    ]
}

fn streams() -> Vec<Operation> {
    vec![
        get(
            "/events",
            "streamEvents",
            "streams",
            "What happens, as it happens, by Server-Sent Events",
        )
        .about(
            "Of each event `data` is an `Event` in one line, `event` its kind, and `id` the place to \
             resume from with `Last-Event-ID`: none is lost and none comes twice. The stream begins \
             with an `id`, and every 15 seconds a comment shows that it lives. Anybody may listen in \
             observe mode and in development; elsewhere bots and operators.",
        )
        .by(Who::AnyoneOrBot)
        .with(&["lastEventId", "since", "kinds"])
        .refuses(&[PositionGone])
        .answers_text("text/event-stream", "Events until either side ends it.")
        .shaped("ServerSentEvent"),
        get(
            "/ws/stream",
            "streamMessages",
            "streams",
            "The same over a WebSocket, an `Event` a message",
        )
        .about(
            "Resumes from `since`. Where a credential is asked for and none came with the handshake, \
             the first message must be `{\"token\": \"…\"}`, within five seconds. Close codes: 4001 no \
             good credential, 4002 `since` or `kinds` cannot be read, 4003 what came after `since` is \
             forgotten, 1013 come back with `since`, 1001 the server stops.",
        )
        .by(Who::AnyoneOrBot)
        .with(&["since", "kinds"])
        .refuses(&[ForeignOrigin])
        .switches("The WebSocket is open."),
    ]
}

fn service() -> Vec<Operation> {
    vec![
        get(
            "/health",
            "health",
            "service",
            "Whether the process answers",
        )
        .unlimited()
        .under_any_name()
        .touches_nothing()
        .answers(200, "Health", "It does.", json!({ "status": "ok" })),
        get("/ready", "ready", "service", "Whether it can work")
            .about("Stale prices are named as degraded, and do not fail it.")
            .under_any_name()
            .touches_nothing()
            .answers(200, "Readiness", "It can.", examples::ready())
            .answers(
                503,
                "Readiness",
                "It cannot; `checks` says why.",
                examples::not_ready(),
            ),
        get("/metrics", "metrics", "service", "Figures for Prometheus")
            .about(
                "For clients of the operator's network (OPERATOR_NETWORKS), by default of the same \
                 machine, or, where it is set, for whoever shows METRICS_TOKEN.",
            )
            .by(Who::AnyoneOrScraper)
            .touches_nothing()
            .refuses(&[Forbidden])
            .answers_text("text/plain", "Prometheus' text format."),
        get(
            "/problems/{name}",
            "showProblem",
            "service",
            "A page about a kind of problem",
        )
        .with(&["problem"])
        .touches_nothing()
        .answers_text("text/html", "The page."),
        get("/openapi.json", "openapi", "service", "This document")
            .touches_nothing()
            .answers_text("application/json", "An OpenAPI 3.1 document.")
            .shaped("OpenApiDocument"),
    ]
}
