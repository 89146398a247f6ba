//! Every persona gets one bot, one grant and a valid key, despite interruptions and races.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::bench::{Bench, persona_of};

const GRANTS: &str = "SELECT count(*) FROM ledger WHERE entry_type = 'GRANT'";
const BOTS: &str = "SELECT count(*) FROM bots WHERE hosted";

#[tokio::test]
async fn genesis_twice_makes_each_bot_once_with_a_working_key() {
    let bench = Bench::new().await;
    bench.personas(&["Momentum-Mia", "Ox_7"]);
    let first = bench.run(&["--json", "genesis"]).ended_with(0).json();
    assert_eq!(first["bots"].as_array().unwrap().len(), 2);
    assert_eq!(first["bots"][0]["outcome"], "created");
    assert_eq!(first["bots"][0]["handle"], "Momentum-Mia");
    assert_eq!(first["bots"][0]["balance"], "1000.00000000");
    let keys = bench.keys_text();
    let mia = bench.key("MOMENTUM_MIA_API_KEY").unwrap();
    let ox = bench.key("OX_7_API_KEY").unwrap();
    assert_ne!(mia, ox);
    for (handle, key) in [("Momentum-Mia", &mia), ("Ox_7", &ox)] {
        assert!(key.starts_with("ldk_") && key.len() == 68, "256 bits in hex");
        assert!(bench.opens(handle, key).await);
    }
    let mode = std::fs::metadata(bench.keys_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = bench.run(&["genesis"]).ended_with(0);
    assert!(second.stdout.contains("0 bots created, 2 already there"), "{}", second.stdout);
    assert_eq!(bench.keys_text(), keys);
    assert_eq!(bench.number(GRANTS).await, 2);
    assert_eq!(bench.number("SELECT count(*) FROM audit_log WHERE action = 'REGISTER'").await, 2);
    let described = "SELECT count(*) FROM bots WHERE persona = 'Trades as ' || handle || '.'";
    assert_eq!(bench.number(described).await, 2);
    bench.arena.assert_sound().await;
}

#[tokio::test]
async fn a_new_persona_joins_and_the_grant_is_configured() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    bench.run(&["genesis"]).ended_with(0);
    bench.personas(&["Bo_2"]);
    let mut command = bench.command(&["--json", "genesis"]);
    command.env("GENESIS_GRANT", "12.5");
    let ran = bench.finish(command).ended_with(0).json();
    let bots = ran["bots"].as_array().unwrap();
    assert_eq!((&bots[0]["handle"], &bots[0]["balance"]), (&"Bo_2".into(), &"12.50000000".into()));
    assert_eq!(bots[1]["outcome"], "already_there");
}

#[tokio::test]
async fn a_key_without_its_bot_is_used_again() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    let before = "# mine\nexport OTHER='a b'\nMIA_API_KEY=\"ldk_written-before-the-crash\"";
    bench.write_keys(before);
    let ran = bench.run(&["--json", "genesis"]).ended_with(0).json();
    assert_eq!(ran["bots"][0]["new_key"], false);
    assert_eq!(bench.keys_text(), before);
    assert!(bench.opens("Mia", "ldk_written-before-the-crash").await);
}

#[tokio::test]
async fn a_bot_without_its_key_gets_a_new_one_and_no_second_grant() {
    let bench = Bench::new().await;
    let lost = bench.arena.bot().handle("Mia").hosted().create().await;
    bench.personas(&["Mia"]);
    bench.write_keys("# mine\nMIA_API_KEY=\nBO_API_KEY=kept");
    let ran = bench.run(&["genesis"]).ended_with(0);
    assert!(ran.stdout.contains("new key"), "{}", ran.stdout);
    let key = bench.key("MIA_API_KEY").unwrap();
    assert_eq!(bench.keys_text(), format!("# mine\nMIA_API_KEY={key}\nBO_API_KEY=kept"));
    assert!(bench.opens("Mia", &key).await);
    assert!(!bench.opens("Mia", &lost.api_key).await);
    assert_eq!(bench.number(GRANTS).await, 1);
}

#[tokio::test]
async fn killed_at_any_key_it_is_completed_by_the_next_run() {
    let bench = Bench::new().await;
    bench.personas(&["Ann", "Bob", "Cyd", "Dan"]);
    for keys in 1..=3 {
        let mut command = bench.command(&["genesis"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ended = child.try_wait().unwrap().is_some();
            if bench.keys_text().matches("_API_KEY=").count() >= keys {
                break;
            }
            assert!(!ended, "genesis goes on to key {keys}");
            assert!(Instant::now() < deadline, "genesis writes key {keys}");
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let survived = bench.keys_text();
    bench.run(&["genesis"]).ended_with(0);
    assert!(bench.keys_text().starts_with(&survived), "no key is replaced");
    assert_eq!((bench.number(BOTS).await, bench.number(GRANTS).await), (4, 4));
    for (handle, variable) in [
        ("Ann", "ANN_API_KEY"),
        ("Bob", "BOB_API_KEY"),
        ("Cyd", "CYD_API_KEY"),
        ("Dan", "DAN_API_KEY"),
    ] {
        assert!(bench.opens(handle, &bench.key(variable).unwrap()).await, "{handle}");
    }
    bench.arena.assert_sound().await;
}

#[tokio::test]
async fn two_at_once_agree_on_the_keys() {
    let bench = Bench::new().await;
    bench.personas(&["Ann", "Bob", "Cyd"]);
    let start = || {
        let mut command = bench.command(&["genesis"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (one, other) = (start(), start());
    bench.wait(one).ended_with(0);
    bench.wait(other).ended_with(0);
    assert_eq!((bench.number(BOTS).await, bench.number(GRANTS).await), (3, 3));
    assert_eq!(bench.keys_text().matches("_API_KEY=").count(), 3);
    for handle in ["Ann", "Bob", "Cyd"] {
        let key = bench.key(&format!("{}_API_KEY", handle.to_uppercase())).unwrap();
        assert!(bench.opens(handle, &key).await, "{handle}");
    }
}

#[tokio::test]
async fn a_bad_persona_is_named_and_the_others_go_on() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    bench.persona("a-broken.yaml", "handle: Zoe\ndescription: [unclosed\n");
    bench.persona("b-nameless.yaml", "description: nobody\n");
    bench.persona("c-bad-handle.yaml", "handle: 7up!\n");
    let wordy = persona_of("Zed").replace("Trades", &"x".repeat(300));
    bench.persona("d-wordy.yaml", &wordy);
    // Its identity can be read; the runner refuses its settings.
    let greedy = persona_of("Gus").replace("\"0.05\"", "\"0.90\"");
    bench.persona("e-greedy.yaml", &format!("{greedy}speed: 9\n"));
    bench.persona("z-again.yaml", &persona_of("MIA"));
    bench.persona("notes.txt", "not: a persona\n");
    let ran = bench.run(&["--json", "genesis"]).ended_with(0).json();
    let refused: Vec<(&str, &str)> = ran["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["file"].as_str().unwrap(), file["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        ("a-broken.yaml", "line 2"),
        ("b-nameless.yaml", "handle is missing"),
        ("c-bad-handle.yaml", "handle must be a letter"),
        ("d-wordy.yaml", "description must"),
        ("e-greedy.yaml", "max_stake_fraction must be"),
        ("z-again.yaml", "clashes with Mia"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:?}");
    for ((file, reason), (name, part)) in refused.iter().zip(expected) {
        assert!(file.ends_with(name) && reason.contains(part), "{file}: {reason}");
        assert!(!reason.contains('\n'), "one line: {reason}");
    }
    assert!(refused[4].1.contains("speed"), "every fault: {refused:?}");
    // No bot, no grant and no key for those who were refused.
    assert_eq!((bench.number(BOTS).await, bench.number(GRANTS).await), (1, 1));
    assert_eq!(bench.keys_text().matches("_API_KEY=").count(), 1);

    let words = bench.run(&["genesis"]).ended_with(0);
    assert!(words.stdout.contains("0 bots created, 1 already there, 6 files refused"));
}

#[tokio::test]
async fn when_no_persona_can_be_used_it_fails_and_an_empty_directory_does_not() {
    let bench = Bench::new().await;
    bench.run(&["genesis"]).ended_with(0);
    bench.persona("bad.yaml", "handle: 7up!\n");
    let ran = bench.run(&["genesis"]).ended_with(78);
    assert!(ran.stderr.contains("BOTS_DIR") && ran.stderr.contains("bad.yaml"), "{}", ran.stderr);
    let mut command = bench.command(&["genesis"]);
    command.env("BOTS_DIR", bench.dir.path().join("nowhere"));
    let ran = bench.finish(command).ended_with(78);
    assert!(ran.stderr.contains("BOTS_DIR names"), "{}", ran.stderr);
}

#[tokio::test]
async fn somebody_elses_bot_is_never_taken_over() {
    let bench = Bench::new().await;
    let theirs = bench.arena.bot().handle("mia").create().await;
    bench.personas(&["Mia", "Bob"]);
    let ran = bench.run(&["genesis"]).ended_with(0);
    assert!(ran.stdout.contains("not hosted here"), "{}", ran.stdout);
    assert!(bench.opens("mia", &theirs.api_key).await);
    assert_eq!(bench.key("MIA_API_KEY"), None);
    assert_eq!(bench.number(BOTS).await, 1);
}

#[tokio::test]
async fn two_handles_never_share_a_line() {
    let bench = Bench::new().await;
    bench.personas(&["Big-Ann"]);
    bench.run(&["genesis"]).ended_with(0);
    std::fs::remove_file(bench.bots_dir().join("Big-Ann.yaml")).unwrap();
    bench.personas(&["Big_Ann", "Bob"]);
    let ran = bench.run(&["genesis"]).ended_with(0);
    assert!(ran.stdout.contains("share the key BIG_ANN_API_KEY with Big-Ann"), "{}", ran.stdout);
    assert_eq!(bench.number(BOTS).await, 2);
}

#[tokio::test]
async fn a_line_that_is_none_stops_it_before_it_replaces_a_key() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    bench.write_keys("MIA_API_KEY ldk_forgot-the-sign\n");
    let ran = bench.run(&["genesis"]).ended_with(78);
    assert!(
        ran.stderr.contains("BOTS_ENV_FILE") && ran.stderr.contains("line 1"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("forgot"));
    assert_eq!(bench.number(BOTS).await, 0);
    assert_eq!(bench.keys_text(), "MIA_API_KEY ldk_forgot-the-sign\n");
}

#[tokio::test]
async fn a_key_that_cannot_be_written_makes_no_bot() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    let mut command = bench.command(&["genesis"]);
    command.env("BOTS_ENV_FILE", bench.dir.path().join("nowhere/.env.bots"));
    let ran = bench.finish(command).ended_with(78);
    assert!(ran.stderr.contains("BOTS_ENV_FILE"), "{}", ran.stderr);
    // A directory in the file's place refuses even root.
    std::fs::create_dir(bench.dir.path().join(".env.bots.new")).unwrap();
    let ran = bench.run(&["genesis"]).ended_with(1);
    assert!(ran.stderr.contains("cannot write"), "{}", ran.stderr);
    assert_eq!(bench.number(BOTS).await, 0);
}

#[tokio::test]
async fn a_linked_file_stays_a_link() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    let real = bench.dir.path().join("kept-elsewhere");
    std::fs::write(&real, "# elsewhere\n").unwrap();
    std::os::unix::fs::symlink(&real, bench.keys_file()).unwrap();
    bench.run(&["genesis"]).ended_with(0);
    assert!(bench.keys_file().is_symlink());
    let text = std::fs::read_to_string(&real).unwrap();
    assert!(text.starts_with("# elsewhere\nMIA_API_KEY=ldk_"));
}
