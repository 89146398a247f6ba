use std::sync::Arc;
use std::time::Duration;

use http_stub::{Reply, Stub};
use llm::openai::{OpenAi, OpenAiConfig, RESPONSE_BYTES_MAX};
use llm::{
    CallUsage, Completion, Finish, LlmError, Model, ModelConfig, Prompt, Provider as _, SetupError,
    Temperature, Tokens, usage,
};
use secrecy::SecretString;
use url::Url;

use crate::prompt;

/// As OpenAI answers.
const ANSWER: &str = r#"{
  "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
  "object": "chat.completion",
  "created": 1741569952,
  "model": "gpt-5-mini-2025-08-07",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "{\"action\":\"WAIT\"}",
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 419,
    "completion_tokens": 210,
    "total_tokens": 629,
    "prompt_tokens_details": { "cached_tokens": 128, "audio_tokens": 0 },
    "completion_tokens_details": {
      "reasoning_tokens": 192,
      "audio_tokens": 0,
      "accepted_prediction_tokens": 0,
      "rejected_prediction_tokens": 0
    }
  },
  "service_tier": "default",
  "system_fingerprint": null
}"#;

async fn ask(config: OpenAiConfig) -> Result<Completion, LlmError> {
    ask_with(config, &prompt("You are bold.", "BTC is at 64000.")).await
}

async fn ask_with(config: OpenAiConfig, prompt: &Prompt) -> Result<Completion, LlmError> {
    Model::from_config(ModelConfig::OpenAi(config)).unwrap().complete(prompt).await
}

const KEY: &str = "sk-hunter2-0123456789";

fn config(stub: &Stub) -> OpenAiConfig {
    OpenAiConfig {
        base_url: stub.url().join("v1").unwrap(),
        api_key: Some(SecretString::from(KEY)),
        model: "arena-small".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

async fn ask_stub(status: &str, headers: &str, body: &str) -> Result<Completion, LlmError> {
    let stub = Stub::answering(status, headers, body).await;
    ask(config(&stub)).await
}

/// An answer with this choice and usage.
fn answer_with(choice: &str, usage: &str) -> String {
    format!(r#"{{"choices":[{choice}],"usage":{usage}}}"#)
}

#[tokio::test]
async fn an_answer_is_read_with_its_usage() {
    let completion = ask_stub("200 OK", "", ANSWER).await.unwrap();
    assert_eq!(completion.text, r#"{"action":"WAIT"}"#);
    assert_eq!(completion.finish, Finish::Complete);
    assert_eq!(
        completion.usage,
        CallUsage {
            provider: Arc::from("127.0.0.1"),
            model: Arc::from("gpt-5-mini-2025-08-07"),
            tokens: Some(Tokens { input: 419, output: 210, cached: 128, reasoning: 192 }),
        }
    );
}

#[tokio::test]
async fn the_request_is_what_the_protocol_wants() {
    let stub = Stub::answering("200 OK", "", ANSWER).await;
    let question = Prompt {
        temperature: Temperature::from_hundredths(70),
        ..prompt("You are \"bold\".", "BTC?\n")
    };
    ask_with(config(&stub), &question).await.unwrap();
    ask_with(config(&stub), &prompt("", "alone")).await.unwrap();

    let requests = stub.requests();
    let (head, body) = requests[0].text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains(&format!("authorization: bearer {KEY}")), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "model": "arena-small",
            "messages": [
                {"role": "system", "content": "You are \"bold\"."},
                {"role": "user", "content": "BTC?\n"},
            ],
            "max_tokens": 400,
            "temperature": 0.7,
            "stream": false,
        })
    );

    let body = requests[1].json();
    assert_eq!(body["messages"], serde_json::json!([{"role": "user", "content": "alone"}]));
    assert_eq!(body.get("temperature"), None, "left to the model");
}

#[tokio::test]
async fn without_a_key_there_is_no_authorization() {
    let stub = Stub::answering("200 OK", "", ANSWER).await;
    ask(OpenAiConfig { api_key: None, ..config(&stub) }).await.unwrap();
    assert!(!stub.requests()[0].text.to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn missing_or_strange_usage_is_zero_and_says_so() {
    let choice = r#"{"message":{"content":"hello"},"finish_reason":"stop"}"#;
    for usage in [
        "null",
        "{}",
        r#"{"prompt_tokens":-1,"completion_tokens":2}"#,
        r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#,
        r#"{"prompt_tokens":7,"completion_tokens":0,"total_tokens":7}"#,
        r#"{"prompt_tokens":99999999999,"completion_tokens":2}"#,
        "\"lots\"",
    ] {
        let completion = ask_stub("200 OK", "", &answer_with(choice, usage)).await.unwrap();
        assert_eq!(completion.text, "hello");
        assert_eq!(completion.usage.tokens, None, "{usage}");
    }
    // Thinking that the parts leave out, and the total does not.
    let more = r#"{"prompt_tokens":"7","completion_tokens":2.0,"total_tokens":39}"#;
    let completion = ask_stub("200 OK", "", &answer_with(choice, more)).await.unwrap();
    assert_eq!(completion.usage.tokens.unwrap().output, 32);
    let plain = r#"{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":null}"#;
    let completion = ask_stub("200 OK", "", &answer_with(choice, plain)).await.unwrap();
    let tokens = completion.usage.tokens.unwrap();
    assert_eq!((tokens.input, tokens.cached), (7, 0));
}

#[tokio::test]
async fn an_answer_that_was_cut_off_says_so() {
    let whole = r#"{"message":{"content":"{\"action\":\"WAIT\"}"},"finish_reason":"length"}"#;
    let completion = ask_stub("200 OK", "", &answer_with(whole, "null")).await.unwrap();
    assert_eq!(completion.finish, Finish::CutOff);
    let usage_text = r#"{"prompt_tokens":30,"completion_tokens":400}"#;
    for message in [
        r#"{"content":"{\"action\":"}"#,
        r#"{"content":null}"#,
        r#"{"content":"","reasoning_content":"maybe {\"action\":\"WAGER\"}"}"#,
        r#"{"content":"{\"action\":\"WAIT\"} or rather"}"#,
    ] {
        for reason in ["length", "max_tokens"] {
            let choice = format!(r#"{{"message":{message},"finish_reason":"{reason}"}}"#);
            let stub = Stub::answering("200 OK", "", &answer_with(&choice, usage_text)).await;
            let (result, usage) = usage::collect(ask(config(&stub))).await;
            let max_output_tokens = 400;
            assert_eq!(result, Err(LlmError::CutOff { max_output_tokens }), "{choice}");
            assert_eq!((usage.llm_calls, usage.tokens.output), (1, 400), "it was paid for");
        }
    }
    let told = LlmError::CutOff { max_output_tokens: 400 };
    assert!(told.to_string().contains("max_output_tokens"), "{told}");
}

#[tokio::test]
async fn content_in_parts_is_read_without_what_was_thought() {
    for message in [
        r#"{"content":[{"type":"text","text":"{\"a\":"},{"type":"text","text":"1}"}]}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"{\"a\":2}"}]},
                       {"type":"text","text":"{\"a\":1}"}]}"#,
        r#"{"content":[{"type":"reasoning","text":"{\"a\":2}"},
                       {"type":"output_text","text":"{\"a\":1}","annotations":[]}]}"#,
        r#"{"content":["{\"a\"",":1}"]}"#,
        r#"{"content":[{"type":"text","text":{"value":"{\"a\":1}"}}]}"#,
        r#"{"content":"{\"a\":1}","reasoning":"{\"a\":2}","reasoning_content":"{\"a\":3}"}"#,
    ] {
        let choice = format!(r#"{{"message":{message},"finish_reason":"stop"}}"#);
        let completion = ask_stub("200 OK", "", &answer_with(&choice, "null")).await.unwrap();
        assert_eq!(completion.text, r#"{"a":1}"#, "{message}");
    }
    let thought = r#"{"message":{"content":[],"reasoning":"{\"a\":2}"},"finish_reason":"stop"}"#;
    let completion = ask_stub("200 OK", "", &answer_with(thought, "null")).await.unwrap();
    assert_eq!(completion.text, "", "what was thought is no answer");
    let refusal = r#"{"message":{"content":[{"type":"refusal","refusal":"No."}]}}"#;
    let refused = ask_stub("200 OK", "", &answer_with(refusal, "null")).await;
    assert_eq!(refused, Err(LlmError::Refused));
}

#[tokio::test]
async fn an_error_in_a_success_is_an_error() {
    for (body, expected) in [
        (
            r#"{"error":{"message":"slow down","code":429}}"#,
            LlmError::RateLimited { retry_after: None },
        ),
        (
            r#"{"error":{"message":"no","code":"rate_limit_exceeded"},"choices":[]}"#,
            LlmError::RateLimited { retry_after: None },
        ),
        (r#"{"error":{"code":"502","message":"nobody there"}}"#, LlmError::Unavailable),
        (r#"{"error":"model not found"}"#, LlmError::Failed),
        (r#"{"object":"error","message":"no such model","code":404}"#, LlmError::Status(404)),
        (
            r#"{"choices":[{"message":{"content":""},"error":{"code":503,"message":"cut"}}]}"#,
            LlmError::Overloaded { retry_after: None },
        ),
        (r#"{"error":{"code":"content_filter","status":400},"choices":[]}"#, LlmError::Refused),
    ] {
        let stub = Stub::answering("200 OK", "", body).await;
        let (result, usage) = usage::collect(ask(config(&stub))).await;
        assert_eq!(result, Err(expected), "{body}");
        assert_eq!(usage.llm_calls, 0, "{body}");
    }
    let billed = r#"{"error":{"code":400,"message":"too long"},
        "usage":{"prompt_tokens":30,"completion_tokens":0,"total_tokens":30}}"#;
    let stub = Stub::answering("200 OK", "", billed).await;
    let (result, usage) = usage::collect(ask(config(&stub))).await;
    assert_eq!(result, Err(LlmError::Failed));
    assert!(!LlmError::Failed.is_unserved());
    assert_eq!((usage.llm_calls, usage.tokens.input), (1, 30), "it is billed");
    // Text before the error has a cost, for any code of the error.
    for message in [
        r#"{"content":"{}"}"#,
        r#"{"content":[{"type":"text","text":"{"}]}"#,
        r#"{"content":null,"reasoning_content":"maybe"}"#,
        r#"{"content":"","reasoning":"maybe"}"#,
        r#"{"refusal":"No."}"#,
    ] {
        for code in [400, 404, 429, 503] {
            let error = format!(r#"{{"code":{code},"message":"cut"}}"#);
            for body in [
                format!(r#"{{"error":{error},"choices":[{{"message":{message}}}]}}"#),
                format!(r#"{{"choices":[{{"message":{message},"error":{error}}}]}}"#),
            ] {
                let stub = Stub::answering("200 OK", "", &body).await;
                let (result, usage) = usage::collect(ask(config(&stub))).await;
                assert_eq!(result, Err(LlmError::Failed), "{body}");
                assert_eq!((usage.llm_calls, usage.unreported_calls), (1, 1), "{body}");
            }
        }
    }
    let none =
        answer_with(r#"{"message":{"content":"hello"}}"#, "null").replace('{', "{\"error\":null,");
    assert!(ask_stub("200 OK", "", &none).await.is_ok(), "{none}");
}

#[tokio::test]
async fn tokens_are_booked_by_the_model_that_answered() {
    let choice = r#"{"message":{"content":"hello"}}"#;
    for (answered, booked) in [
        ("arena-large", "arena-large"),
        ("arena-small-2026-01-31", "arena-small"),
        ("", "arena-small"),
    ] {
        let body = format!(r#"{{"model":"{answered}","choices":[{choice}],"usage":null}}"#);
        let completion = ask_stub("200 OK", "", &body).await.unwrap();
        assert_eq!(&*completion.usage.model, booked);
    }
}

#[tokio::test]
async fn refusals_are_errors_that_were_paid_for() {
    let usage_text = r#"{"prompt_tokens":30,"completion_tokens":9}"#;
    for choice in [
        r#"{"message":{"content":null,"refusal":"I'm sorry, I can't."},"finish_reason":"stop"}"#,
        r#"{"message":{"content":""},"finish_reason":"content_filter"}"#,
    ] {
        let stub = Stub::answering("200 OK", "", &answer_with(choice, usage_text)).await;
        let (result, usage) = usage::collect(ask(config(&stub))).await;
        assert_eq!(result, Err(LlmError::Refused));
        assert_eq!((usage.llm_calls, usage.tokens.input), (1, 30));
    }
    let filtered = r#"{"error":{"message":"…","type":null,"code":"content_filter"}}"#;
    assert_eq!(ask_stub("400 Bad Request", "", filtered).await, Err(LlmError::Filtered));
    assert!(LlmError::Filtered.is_unserved());
}

#[tokio::test]
async fn a_rate_limit_tells_how_long_to_wait() {
    let body = r#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#;
    for (header, expected) in [
        ("Retry-After: 20\r\n", Some(20)),
        ("retry-after: 1.5\r\n", Some(2)),
        ("Retry-After: 3.0\r\n", Some(3)),
        ("Retry-After: 99999999999\r\n", Some(86_400)),
        (
            "Date: Wed, 21 Oct 2026 07:27:30 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n",
            Some(30),
        ),
        ("Retry-After: Wed, 21 Oct 2020 07:28:00 GMT\r\n", Some(0)),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: -5\r\n", None),
        ("", None),
    ] {
        let error = ask_stub("429 Too Many Requests", header, body).await.unwrap_err();
        let retry_after = expected.map(Duration::from_secs);
        assert_eq!(error, LlmError::RateLimited { retry_after }, "{header}");
    }
}

#[tokio::test]
async fn other_statuses_have_their_variants() {
    for (status, expected) in [
        ("500 Internal Server Error", LlmError::Status(500)),
        ("400 Bad Request", LlmError::Status(400)),
        ("401 Unauthorized", LlmError::Status(401)),
        ("404 Not Found", LlmError::Status(404)),
        ("302 Found", LlmError::Status(302)),
        ("408 Request Timeout", LlmError::Timeout),
        ("502 Bad Gateway", LlmError::Unavailable),
        ("503 Service Unavailable", LlmError::Overloaded { retry_after: None }),
        ("529 Overloaded", LlmError::Overloaded { retry_after: None }),
    ] {
        let headers = "Location: http://127.0.0.1:9/\r\n";
        let body = "<html>no JSON at all</html>";
        assert_eq!(ask_stub(status, headers, body).await, Err(expected), "{status}");
    }
}

#[tokio::test]
async fn garbage_is_malformed() {
    for body in [
        "<!DOCTYPE html><html><body>Welcome to nginx!</body></html>",
        "",
        "{}",
        "null",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"text":"legacy"}]}"#,
        r#"{"choices":[{"message":{"content":42}}]}"#,
        "{\"choices\":[{\"message\":{\"content\":\"cut",
    ] {
        assert_eq!(ask_stub("200 OK", "", body).await, Err(LlmError::Malformed), "{body}");
    }
    let stub = Stub::replying(Reply::Raw(b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe".to_vec())).await;
    assert_eq!(ask(config(&stub)).await, Err(LlmError::Malformed));
}

#[tokio::test]
async fn a_server_that_hangs_is_a_time_out() {
    for reply in [Reply::Silence, Reply::HalfAnswer] {
        let stub = Stub::replying(reply).await;
        let config = OpenAiConfig { timeout: Duration::from_millis(200), ..config(&stub) };
        let (result, usage) = usage::collect(ask(config)).await;
        assert_eq!(result, Err(LlmError::Timeout));
        assert_eq!(usage.llm_calls, 0);
        assert_eq!(stub.requests().len(), 1, "it was asked, and asked once");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_has_certainly_served_nothing() {
    let stub = Stub::replying(Reply::Hangup).await;
    assert_eq!(ask(config(&stub)).await, Err(LlmError::Unavailable));

    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let base_url = Url::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert_eq!(ask(OpenAiConfig { base_url, ..config(&stub) }).await, Err(LlmError::Unreachable));
    assert!(LlmError::Unreachable.is_unserved());
    assert!(LlmError::RateLimited { retry_after: None }.is_unserved());
    assert!(LlmError::Status(401).is_unserved());
    assert!(LlmError::Overloaded { retry_after: None }.is_unserved());
    for unclear in [
        LlmError::Timeout,
        LlmError::Unavailable,
        LlmError::Status(500),
        LlmError::Malformed,
        LlmError::TooLarge,
        LlmError::Refused,
    ] {
        assert!(!unclear.is_unserved(), "{unclear}");
    }
}

#[tokio::test]
async fn an_answer_without_measure_is_not_read() {
    let text = "x".repeat(RESPONSE_BYTES_MAX);
    let choice = format!(r#"{{"message":{{"content":"{text}"}}}}"#);
    let body = answer_with(&choice, "null");
    assert_eq!(ask_stub("200 OK", "", &body).await, Err(LlmError::TooLarge));

    // Without a length, and of a server that would go on for ever.
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(RESPONSE_BYTES_MAX * 8, b' ');
    let stub = Stub::replying(Reply::Raw(endless)).await;
    assert_eq!(ask(config(&stub)).await, Err(LlmError::TooLarge));

    let fits = "x".repeat(RESPONSE_BYTES_MAX - 200);
    let body = answer_with(&format!(r#"{{"message":{{"content":"{fits}"}}}}"#), "null");
    assert_eq!(ask_stub("200 OK", "", &body).await.unwrap().text.len(), fits.len());
}

#[tokio::test]
async fn the_key_is_in_no_error_and_no_debug() {
    let quoting = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
    let stub = Stub::answering("401 Unauthorized", "", &quoting).await;
    let provider = OpenAi::new(config(&stub)).unwrap();
    let error = provider.complete(&prompt("", "hello")).await.unwrap_err();
    let model = Model::from_config(ModelConfig::OpenAi(config(&stub))).unwrap();
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{provider:?}"),
        format!("{model:?}"),
        format!("{:?}", config(&stub)),
    ] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
    assert!(error.to_string().contains("LLM_API_KEY"), "says what to check: {error}");
}

#[test]
fn providers_are_named_by_their_servers() {
    for (base_url, expected) in [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1/", "groq"),
        ("https://api.x.ai/v1", "xai"),
        ("http://localhost:11434/v1", "ollama"),
        ("https://models.example/v1", "models.example"),
    ] {
        let config = OpenAiConfig {
            base_url: Url::parse(base_url).unwrap(),
            api_key: None,
            model: " some-model ".to_owned(),
            timeout: Duration::from_secs(1),
        };
        let model = Model::from_config(ModelConfig::OpenAi(config)).unwrap();
        assert_eq!((model.provider_name(), model.model_name()), (expected, "some-model"));
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_at_once() {
    let setup = |base_url: &str, key: &str, model: &str| {
        OpenAi::new(OpenAiConfig {
            base_url: Url::parse(base_url).unwrap(),
            api_key: Some(SecretString::from(key)),
            model: model.to_owned(),
            timeout: Duration::from_secs(1),
        })
        .map(drop)
    };
    assert_eq!(setup("https://api.openai.com/v1", KEY, "m"), Ok(()));
    for base_url in [
        "ftp://models.example/v1",
        "https://user:pass@models.example/v1",
        "https://models.example/v1?key=1",
        "mailto:someone@models.example",
    ] {
        assert_eq!(setup(base_url, KEY, "m"), Err(SetupError::BaseUrl), "{base_url}");
    }
    assert_eq!(setup("https://m.example", "line\nbreak", "m"), Err(SetupError::ApiKey));
    assert_eq!(setup("https://m.example", KEY, "  "), Err(SetupError::Model));
}
