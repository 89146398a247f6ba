//! Errors before anything is started: in one line that says what to do, without a secret.

use std::fs;

use crate::bench::{Bench, Squatter};

#[test]
fn a_setting_that_cannot_be_used_is_named_and_nothing_is_written() {
    let mut bench = Bench::new();
    let port = bench.ports[0].to_string();
    let port = port.as_str();
    for (name, value, said) in [
        ("DATABASE_URL", "", "DATABASE_URL is set but empty in the environment"),
        ("REDIS_URL", "", "REDIS_URL is set but empty in the environment"),
        ("PRIVATE_POSTGRES_PORT", "54x3", "PRIVATE_POSTGRES_PORT must be a port from 1 to 65535"),
        ("PRIVATE_REDIS_PORT", port, "PRIVATE_POSTGRES_PORT and PRIVATE_REDIS_PORT are both"),
        ("API_PORT", "٨٠٠٠", "API_PORT must be a port from 1 to 65535"),
        ("TICKER_HEALTH_PORT", "0", "TICKER_HEALTH_PORT must be a port from 1 to 65535"),
    ] {
        bench.told = vec![(name.to_owned(), value.to_owned())];
        bench.refusal().ended_with(78).in_one_line().says(said);
        assert!(!bench.env_file().exists(), "{name}");
    }
}

#[test]
fn a_file_that_is_not_understood_stays_as_it_was() {
    let mut bench = Bench::new();
    let cases: [(&[u8], &str); 6] = [
        (&b"\xff\xfeA\x00=\x00h\x00\n\x00"[..], "line 1 begins like UTF-16"),
        (b"A\x00=\x00h\x00\n\x00", "line 1 has a zero byte"),
        (b"ENV=development\nADMIN_TOKEN: hunter2\n", "line 2 has a colon"),
        (b"# mine\rADMIN_TOKEN=hunter2\r", "line 1 has a carriage return"),
        (b"A=1\nADMIN_TOKEN=hunter2\xfc\n", "line 2 is not UTF-8"),
        ("AP\u{130}_KEY=1\n".as_bytes(), "line 1 is not an assignment: write NAME=value"),
    ];
    for (bytes, said) in cases {
        bench.write_env(bytes);
        let said = format!("{}: {said}", bench.env_file().display());
        let refusal = bench.refusal().ended_with(78).in_one_line();
        refusal.says(&said).says_not("hunter2");
        bench.status().ended_with(78).says(&said);
        assert_eq!(fs::read(bench.env_file()).unwrap(), bytes);
    }
}

#[test]
fn urls_that_cannot_be_used_are_refused() {
    let mut bench = Bench::new();
    // A server with a URL needs no port.
    bench.tell("PRIVATE_POSTGRES_PORT", "none");
    let given = "SECRET_KEY=x\nBACKUP_KEY=7\n\
                 export DATABASE_URL='postgres://a:hunter2@127.0.0.1:1/arena'\n\
                 DATABASE_OWNER_URL=postgres://o:hunter2@127.0.0.1:1/arena\n\
                 REDIS_URL=redis://:hunter2@127.0.0.1:1\n";
    for (from, to, said, code) in [
        ("postgres://a:", "postgres//a:", "DATABASE_URL is not a URL", 78),
        (
            "/arena'",
            "/arena?password=hunter2'",
            "DATABASE_URL has a password after its question mark",
            78,
        ),
        (
            "/arena'",
            "/arena?sslkey=hunter2'",
            "DATABASE_URL has sslkey after its question mark",
            78,
        ),
        ("DATABASE_OWNER_URL=", "OTHER=", "DATABASE_OWNER_URL is not. Set it", 78),
        ("redis://", "http://", "REDIS_URL must begin with redis://", 78),
        ("redis://", "redis://", "Redis at 127.0.0.1:1 does not accept connections", 69),
    ] {
        bench.write_env(given.replacen(from, to, 1));
        let refusal = bench.refusal().ended_with(code).in_one_line();
        refusal.says(said).says_not("hunter2");
        assert_eq!(bench.order(), [""; 0]);
    }
    // Marked private, and yet elsewhere.
    bench.write_env(
        format!("{given}ARENA_PRIVATE_SERVICES=redis\n").replace("127.0.0.1:1\n", "10.0.0.1:1\n"),
    );
    bench.refusal().ended_with(78).says("redis is marked private");
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    let mut bench = Bench::new();
    let squatter = Squatter::new(bench.ports[2]);
    // The next one is the ticker's.
    bench.ports[3] = squatter.port() + 1;
    let (port, pid) = (squatter.port(), std::process::id());
    let refusal = bench.refusal().ended_with(69);
    let refusal = refusal.says(&format!("port {port}, wanted by api, is taken by "));
    let refusal = refusal.says(&format!("(pid {pid}). Stop that, or change API_PORT ("));
    refusal.says_not(&format!("({} is free)", port + 1));
    assert_eq!(bench.order(), [""; 0]);
    drop(squatter);
    bench.ports[3] = bench.ports[2];
    let refusal = bench.refusal().ended_with(78);
    refusal.says(&format!("ticker and api both want port {}", bench.ports[2]));
}

#[test]
fn where_nothing_can_be_written_that_is_told() {
    let mut bench = Bench::new();
    fs::write(bench.path("file"), "").unwrap();
    let data = bench.path("file/data").display().to_string();
    bench.tell("ARENA_DATA_DIR", data.clone());
    let refusal = bench.refusal().ended_with(1).in_one_line();
    refusal.says(&format!("cannot write to {data} as ")).says(": Not a directory.");
    bench.told.clear();
    fs::remove_file(bench.bin().join("oracle")).unwrap();
    bench.refusal().ended_with(78).says(" lacks oracle.");
    bench.is_empty();
}
