//! Temperatures.

use ledger_core::Decimal8;
use ledger_core::sources::weather::Place;
use sources::SourceError;
use sources::open_meteo::{OpenMeteo, parse_at, parse_now};

use crate::stub::{Stub, http, ok, status};
use crate::{at, changed, nonsense, now};

const NOW: &[u8] = include_bytes!("../data/open_meteo_now.json");
const AT: &[u8] = include_bytes!("../data/open_meteo_at.json");
const ERROR: &[u8] = include_bytes!("../data/open_meteo_error.json");
const FIELD_NOW: &str = "current.temperature_2m";
const FIELD_AT: &str = "minutely_15.temperature_2m";

fn berlin() -> Place {
    Place { latitude: "52.52".parse().unwrap(), longitude: "13.41".parse().unwrap() }
}

fn celsius(text: &str) -> Decimal8 {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_temperature_now() {
    let stub = Stub::start(|_, _| ok(NOW)).await;
    let meteo = OpenMeteo::new(http(), stub.url()).unwrap();
    let fetched = meteo.temperature_now(berlin(), now()).await;
    assert_eq!(fetched.value, Ok(celsius("-3.5")));
    assert_eq!(fetched.evidence.body, NOW);
    assert_eq!(parse_now(&fetched.evidence.body, fetched.evidence.fetched_at), Ok(celsius("-3.5")));
    let request = stub.only_request();
    assert_eq!(
        request.target,
        "/v1/forecast?latitude=52.52&longitude=13.41&timezone=GMT&current=temperature_2m"
    );
    assert_eq!(request.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn the_temperature_at_an_instant() {
    let stub = Stub::start(|_, _| ok(AT)).await;
    let meteo = OpenMeteo::new(http(), stub.url()).unwrap();
    let instant = at("2026-11-24T14:30:00Z");
    let fetched = meteo.temperature_at(berlin(), instant, now()).await;
    assert_eq!(fetched.value, Ok(celsius("21.4")));
    assert_eq!(parse_at(&fetched.evidence.body, instant), Ok(celsius("21.4")));
    assert_eq!(
        stub.only_request().target,
        "/v1/forecast?latitude=52.52&longitude=13.41&timezone=GMT&minutely_15=temperature_2m\
         &start_minutely_15=2026-11-24T14%3A30&end_minutely_15=2026-11-24T14%3A30"
    );
}

#[tokio::test]
async fn nothing_is_asked_about_the_future_or_between_the_quarters() {
    let stub = Stub::start(|_, _| ok(AT)).await;
    let meteo = OpenMeteo::new(http(), stub.url()).unwrap();
    for (instant, error) in [
        ("2026-11-24T14:45:00Z", SourceError::FromTheFuture { ahead_seconds: 300 }),
        ("2026-11-24T14:31:00Z", nonsense("instant", "is no full quarter of an hour")),
        ("2026-11-24T14:30:00.000001Z", nonsense("instant", "is no full quarter of an hour")),
    ] {
        let fetched = meteo.temperature_at(berlin(), at(instant), now()).await;
        assert_eq!(fetched.value, Err(error), "{instant}");
        assert_eq!(fetched.evidence.status, None);
    }
    assert!(stub.requests().is_empty());
    let odd = at("2026-11-24T14:31:00Z");
    assert!(parse_at(AT, odd).is_err());
}

#[tokio::test]
async fn a_question_that_was_wrong_is_a_status() {
    let stub = Stub::start(|_, _| status(400, ERROR)).await;
    let meteo = OpenMeteo::new(http(), stub.url()).unwrap();
    let fetched = meteo.temperature_now(berlin(), now()).await;
    assert_eq!(fetched.value, Err(SourceError::Status(400)));
    assert_eq!(fetched.evidence.body, ERROR);
    assert_eq!(parse_now(ERROR, now()), Err(SourceError::MissingField("utc_offset_seconds")));
}

#[test]
fn a_temperature_is_a_number_that_can_be() {
    let instant = at("2026-11-24T14:30:00Z");
    let read_now = |value: &str| {
        let body =
            changed(NOW, r#""temperature_2m":-3.5"#, &format!(r#""temperature_2m":{value}"#));
        parse_now(&body, now())
    };
    let read_at = |value: &str| parse_at(&changed(AT, "[21.4]", &format!("[{value}]")), instant);
    for (text, shown) in [
        ("21.4", "21.4"),
        ("-0.1", "-0.1"),
        ("-90", "-90"),
        ("60.0", "60"),
        ("0", "0"),
        ("2.5e1", "25"),
        ("-12.34567891", "-12.34567891"),
    ] {
        assert_eq!(read_now(text), Ok(celsius(shown)), "{text}");
        assert_eq!(read_at(text), Ok(celsius(shown)), "{text}");
    }
    for (text, problem) in [
        ("\"hot\"", "is no number"),
        ("\"21.4\"", "is no number"),
        ("true", "is no number"),
        ("[21.4]", "is no number"),
        ("60.1", "no place on Earth ever had"),
        ("-90.00000001", "no place on Earth ever had"),
        ("1e30", "is out of range"),
        ("21.399999618530273", "has more than eight decimals"),
    ] {
        assert_eq!(read_now(text), Err(nonsense(FIELD_NOW, problem)), "{text}");
        assert_eq!(read_at(text), Err(nonsense(FIELD_AT, problem)), "{text}");
    }
    assert_eq!(read_now("null"), Err(SourceError::MissingField(FIELD_NOW)));
    assert_eq!(read_at("null"), Err(SourceError::MissingField(FIELD_AT)));
    for text in ["NaN", "-Infinity", "21,4", "-"] {
        assert_eq!(read_now(text), Err(SourceError::NotJson), "{text}");
    }
}

#[test]
fn now_is_about_now() {
    let read = |now: &str| parse_now(NOW, at(now));
    // The answer is of 14:30.
    for fine in ["2026-11-24T14:15:00Z", "2026-11-24T14:30:00Z", "2026-11-24T15:00:00Z"] {
        assert_eq!(read(fine), Ok(celsius("-3.5")), "{fine}");
    }
    assert_eq!(read("2026-11-24T15:00:01Z"), Err(SourceError::Stale { age_seconds: 1801 }));
    assert_eq!(
        read("2026-11-24T14:14:59Z"),
        Err(SourceError::FromTheFuture { ahead_seconds: 901 })
    );
    for time in
        ["2026-11-24", "2026-11-24T14:30Z", "2026-11-24T14:3", "2026-13-24T14:30", "ééééééé"]
    {
        let body = changed(NOW, "2026-11-24T14:30", time);
        assert_eq!(
            parse_now(&body, now()),
            Err(nonsense("current.time", "is no time such as 2026-11-24T14:30")),
            "{time}"
        );
    }
}

#[test]
fn other_units_and_local_times_are_refused() {
    let instant = at("2026-11-24T14:30:00Z");
    for (from, to, field, problem) in [
        ("°C", "°F", "_units", "gives temperatures other than in °C"),
        ("iso8601", "unixtime", "_units", "gives times other than in ISO 8601"),
        (
            "\"utc_offset_seconds\":0",
            "\"utc_offset_seconds\":3600",
            "utc_offset_seconds",
            "is not zero",
        ),
        (
            "\"utc_offset_seconds\":0",
            "\"utc_offset_seconds\":0.0",
            "utc_offset_seconds",
            "is no whole number",
        ),
    ] {
        for error in
            [parse_now(&changed(NOW, from, to), now()), parse_at(&changed(AT, from, to), instant)]
        {
            let Err(SourceError::Nonsense { field: f, problem: p }) = error else {
                panic!("{to}: {error:?}");
            };
            assert!(f.ends_with(field) && p == problem, "{f} {p}");
        }
    }
}

#[test]
fn what_is_left_out_is_named() {
    for (from, field) in [
        ("\"utc_offset_seconds\"", "utc_offset_seconds"),
        ("\"current_units\"", "current_units"),
        ("\"current\"", "current"),
        ("\"time\":\"2026", "current.time"),
        ("\"temperature_2m\":-3.5", FIELD_NOW),
    ] {
        let body = changed(NOW, from, &from.replacen('"', "\"x", 1));
        assert_eq!(parse_now(&body, now()), Err(SourceError::MissingField(field)));
    }
    for (from, field) in [
        ("\"minutely_15_units\"", "minutely_15_units"),
        ("\"minutely_15\"", "minutely_15"),
        ("\"time\":[", "minutely_15.time"),
        ("\"temperature_2m\":[", FIELD_AT),
    ] {
        let body = changed(AT, from, &from.replacen('"', "\"x", 1));
        let read = parse_at(&body, at("2026-11-24T14:30:00Z"));
        assert_eq!(read, Err(SourceError::MissingField(field)));
    }
}

#[test]
fn the_instant_is_there_once() {
    const TIMES: &str = "minutely_15.time";
    let instant = at("2026-11-24T14:30:00Z");
    let read = |times: &str, values: &str| {
        let body = changed(AT, r#"["2026-11-24T14:30"]"#, times);
        parse_at(&changed(&body, "[21.4]", values), instant)
    };
    // Additional rows are ignored, even without a value.
    let more = r#"["2026-11-24T14:15","2026-11-24T14:30","2026-11-24T14:45"]"#;
    assert_eq!(read(more, "[null,7.5,\"hot\"]"), Ok(celsius("7.5")));
    assert_eq!(
        read(r#"["2026-11-24T14:45"]"#, "[7.5]"),
        Err(nonsense(TIMES, "lacks the requested instant"))
    );
    assert_eq!(read("[]", "[]"), Err(nonsense(TIMES, "lacks the requested instant")));
    assert_eq!(
        read(r#"["2026-11-24T14:30","2026-11-24T14:30"]"#, "[7.5,8.5]"),
        Err(nonsense(TIMES, "holds the same instant twice"))
    );
    assert_eq!(
        read(r#"["2026-11-24T14:30"]"#, "[]"),
        Err(nonsense(FIELD_AT, "has another length than its times"))
    );
}
