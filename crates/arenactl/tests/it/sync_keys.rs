//! The database follows `.env.bots`, and mismatches are reported.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test]
async fn a_changed_key_is_stored_once() {
    let bench = Bench::new().await;
    let mia = bench.arena.bot().handle("Mia").hosted().create().await;
    let bob = bench.arena.bot().handle("Bob").hosted().create().await;
    // Every character that a shell would stumble over.
    let odd = "k!$(x)#`\\ y\"'z";
    bench.write_keys(&format!("export MIA_API_KEY=\"{odd}\"\nBOB_API_KEY={}\n", bob.api_key));
    let first = bench.run(&["--json", "sync-keys"]).ended_with(0).json();
    assert_eq!(first["updated"], json!(["Mia"]));
    assert_eq!(first["unchanged"], json!(["Bob"]));
    assert!(bench.opens("Mia", odd).await);
    assert!(!bench.opens("Mia", &mia.api_key).await);
    assert!(bench.opens("Bob", &bob.api_key).await);

    let stored = bench.stored("Mia").await;
    let owasp = "$argon2id$v=19$m=19456,t=2,p=1$";
    assert!(stored.starts_with(owasp), "the parameters of the API");
    let second = bench.run(&["sync-keys"]).ended_with(0);
    assert!(second.stdout.contains("0 keys updated, 2 unchanged"), "{}", second.stdout);
    assert_eq!(bench.stored("Mia").await, stored);
    assert_eq!(bench.number("SELECT count(*) FROM audit_log WHERE action = 'SYNC_KEY'").await, 1);
}

#[tokio::test]
async fn bots_without_key_and_keys_without_bot_are_named() {
    let bench = Bench::new().await;
    let mia = bench.arena.bot().handle("Mia").hosted().create().await;
    let lone = bench.arena.bot().handle("Lone-Lee").hosted().create().await;
    let theirs = bench.arena.bot().handle("Theirs").create().await;
    let text = format!(
        "MIA_API_KEY={}\nGHOST_API_KEY=boo\nTHEIRS_API_KEY=mine-now\nLONE_LEE_API_KEY=\n",
        mia.api_key
    );
    bench.write_keys(&text);
    let ran = bench.run(&["--json", "sync-keys"]).ended_with(0).json();
    let expected =
        json!([{ "handle": "Lone-Lee", "bot_id": lone.id, "variable": "LONE_LEE_API_KEY" }]);
    assert_eq!(ran["bots_without_key"], expected);
    assert_eq!(ran["keys_without_bot"], json!(["GHOST_API_KEY", "THEIRS_API_KEY"]));
    assert!(bench.opens("Theirs", &theirs.api_key).await, "a bot not hosted here keeps its key");

    let words = bench.run(&["sync-keys"]).ended_with(0).stdout;
    assert!(words.contains("no key   Lone-Lee"), "{words}");
    assert!(words.contains("no bot   GHOST_API_KEY"), "{words}");
}

#[tokio::test]
async fn a_missing_file_matters_only_when_there_are_bots() {
    let bench = Bench::new().await;
    bench.run(&["sync-keys"]).ended_with(0);
    bench.arena.bot().handle("Mia").hosted().create().await;
    let ran = bench.run(&["sync-keys"]).ended_with(78);
    assert!(ran.stderr.contains("BOTS_ENV_FILE names"), "{}", ran.stderr);
    assert!(ran.stderr.contains("arenactl genesis"), "{}", ran.stderr);
}

impl Bench {
    async fn stored(&self, handle: &str) -> String {
        let query = "SELECT api_key_hash FROM bots WHERE handle = $1";
        self.arena.owner_client().await.query_one(query, &[&handle]).await.unwrap().get(0)
    }
}
