//! Changes of an attacker in a backup, or in the database before it.

use super::*;

#[tokio::test]
async fn a_forged_manifest_is_refused_before_its_dump_is_touched() {
    let bench = busy().await;
    let (backup, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    let whole = fs::read_to_string(&manifest).unwrap();
    let key = backup["authentication"]["key"].as_str().unwrap().to_owned();
    let refused = |settings: &[(&str, &str)]| {
        let ran = restore_with(&bench, &manifest, &url, &[], settings).ended_with(1);
        assert!(ran.stderr.contains("--unauthenticated"), "{}", ran.stderr);
        ran.stderr
    };
    // Any field, and the proof itself.
    edit(&manifest, |facts| drop(facts.insert("bots".to_owned(), 3.into())));
    assert!(refused(&[]).contains("is forged"));
    fs::write(&manifest, &whole).unwrap();
    edit(&manifest, |facts| drop(facts.remove("authentication")));
    assert!(refused(&[]).contains("is not authenticated"));
    fs::write(&manifest, &whole).unwrap();
    // A foreign key is refused, and the error names the required one.
    assert!(refused(&[("BACKUP_KEY", ANOTHER_KEY)]).contains(&key));
    assert!(refused(&[("BACKUP_KEY", "")]).contains(&key));
    let client = test_kit::connect(&url).await;
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let count: i64 = client.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 0, "nothing was written");
    // A rotated key still authenticates its backups.
    let rotated = [("BACKUP_KEY", ANOTHER_KEY), ("BACKUP_KEY_PREVIOUS", BACKUP_KEY)];
    let restored = restore_with(&bench, &manifest, &url, &[], &rotated).ended_with(0);
    assert_eq!(restored.json()["authenticated"], true);
    assert_eq!(restored.json()["unproven"], serde_json::json!([]));
}

#[tokio::test]
async fn a_backup_of_before_there_was_a_key_is_restored_when_asked_and_says_what_is_not_proven() {
    let bench = busy().await;
    let mut command =
        bench.command(&["backup", "--to", bench.dir.path().to_str().unwrap(), "--json"]);
    command.env("BACKUP_KEY", "");
    let ran = bench.finish(command).ended_with(1);
    assert!(ran.stderr.contains("openssl rand -hex 32"), "{}", ran.stderr);
    let manifest = PathBuf::from(ran.json()["manifest"].as_str().unwrap());
    edit(&manifest, |facts| {
        facts.insert("format".to_owned(), "ledgerdome-backup/v1".into());
        facts.remove("credentials_digest").unwrap();
        facts.remove("schema_differences").unwrap();
    });
    let url = empty_database(&bench).await;
    let ran = restore(&bench, &manifest, &url).ended_with(1);
    assert!(ran.stderr.contains("is not authenticated"), "{}", ran.stderr);
    let trusting = ["--unauthenticated"];
    let restored = restore_with(&bench, &manifest, &url, &trusting, &[]).ended_with(0).json();
    assert_eq!(restored["authenticated"], false);
    assert_eq!(restored["unproven"].as_array().unwrap().len(), 2, "{restored}");
}

#[tokio::test]
async fn a_replaced_hash_of_a_key_is_noticed() {
    let bench = busy().await;
    let (_, manifest) = back_up(&bench);
    let replace = "UPDATE bots SET api_key_hash = '$argon2id$another' WHERE handle = 'Mia'";
    bench.arena.owner_client().await.batch_execute(replace).await.unwrap();
    let (other, beside) = back_up_to(&bench, "later");
    // The other dump under the first one's word.
    let dump = other["dump"].as_str().unwrap();
    fs::copy(beside.with_file_name(dump), manifest.with_file_name(dump)).unwrap();
    edit(&manifest, |facts| {
        for field in ["dump", "bytes", "sha256"] {
            facts.insert(field.to_owned(), other[field].clone());
        }
    });
    let url = empty_database(&bench).await;
    let trusting = ["--unauthenticated"];
    let ran = restore_with(&bench, &manifest, &url, &trusting, &[]).ended_with(1);
    assert!(ran.stderr.contains("keys and secrets"), "{}", ran.stderr);
    // Removing the expected values does not help either.
    edit(&manifest, |facts| {
        facts.insert("credentials_digest".to_owned(), serde_json::Value::Null);
    });
    let ran = restore_with(&bench, &manifest, &url, &trusting, &[]).ended_with(1);
    assert!(ran.stderr.contains("credentials_digest is missing"), "{}", ran.stderr);
}

#[tokio::test]
async fn credentials_are_held_against_a_manifest() {
    let bench = Bench::new().await;
    bench.arena.bot().handle("Mia").create().await;
    let (_, manifest) = back_up(&bench);
    let check = ["debug-auth", "--manifest", manifest.to_str().unwrap()];
    let ran = bench.run(&check).ended_with(0);
    assert!(ran.stdout.contains("works  credentials: are those of the backup"), "{}", ran.stdout);
    let replace = "UPDATE bots SET api_secret_sha256 = decode(repeat('ab', 32), 'hex')";
    bench.arena.owner_client().await.batch_execute(replace).await.unwrap();
    let ran = bench.run(&check).ended_with(1);
    assert!(ran.stdout.contains("FAILS  credentials: are not those"), "{}", ran.stdout);
}

/// Changes that an attacker with the owner's rights could leave, and their reports.
const TAMPERING: &[(&str, &str)] = &[
    (
        "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER steal BEFORE UPDATE ON wallets FOR EACH ROW EXECUTE FUNCTION steal()",
        "should not be: trigger CREATE TRIGGER steal",
    ),
    (
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "should not be: function public.refuse_change",
    ),
    (
        "ALTER TABLE ledger DISABLE TRIGGER ledger_append_only",
        "ledger_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger FOR EACH STATEMENT EXECUTE \
         FUNCTION public.refuse_change() (disabled)",
    ),
    (
        "GRANT UPDATE ON ledger TO arena_app",
        "arena_app: is there and should not be: the role may UPDATE relation public.ledger",
    ),
    (
        "ALTER TABLE bots ALTER COLUMN persona SET DEFAULT version()",
        "column public.bots.persona text",
    ),
    (
        "GRANT EXECUTE ON FUNCTION to_services(text) TO PUBLIC",
        "everybody may EXECUTE function public.to_services",
    ),
    (
        "ALTER TABLE ledger DROP CONSTRAINT ledger_balance_in_range",
        "is not: constraint ledger_balance_in_range",
    ),
    (
        "CREATE PUBLICATION copies FOR TABLE bots, ledger WITH (publish = 'insert')",
        "should not be: publication copies has public.bots",
    ),
    (
        "CREATE VIEW seen WITH (security_barrier = true) AS SELECT id FROM bots",
        "view public.seen with security_barrier=true as",
    ),
];

#[tokio::test]
async fn what_the_migrations_did_not_make_is_named_and_not_restored() {
    for (tampering, named) in TAMPERING {
        let bench = busy().await;
        bench.arena.owner_client().await.batch_execute(tampering).await.unwrap();
        let ran = bench.run(&["debug-auth"]).ended_with(1);
        assert!(ran.stdout.contains(named), "{tampering}: {}", ran.stdout);
        let to = bench.dir.path().join("backups");
        let ran = bench.run(&["backup", "--to", to.to_str().unwrap(), "--json"]).ended_with(1);
        assert!(ran.stderr.contains("differs from the migrations"), "{}", ran.stderr);
        let manifest = PathBuf::from(ran.json()["manifest"].as_str().unwrap());
        // The first difference is reported: functions and columns before triggers and privileges.
        let ran = restore(&bench, &manifest, &empty_database(&bench).await).ended_with(1);
        let words = "differs from its migrations";
        assert!(ran.stderr.contains(words), "{tampering}: {}", ran.stderr);
        let accepting = ["--accept-schema"];
        let url = empty_database(&bench).await;
        let ran = restore_with(&bench, &manifest, &url, &accepting, &[]).ended_with(0);
        assert!(ran.stdout.contains(named), "{tampering}: {}", ran.stdout);
    }
}

/// A check runs for each loaded row, and may call any function.
#[tokio::test]
async fn no_function_of_a_dump_runs_before_it_is_compared() {
    let bench = busy().await;
    let tampering = "CREATE FUNCTION look(bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             IF current_database() LIKE 'restore%' THEN RAISE EXCEPTION 'it ran'; END IF; RETURN true; END $$; \
         ALTER TABLE bots ADD CHECK (look(id))";
    bench.arena.owner_client().await.batch_execute(tampering).await.unwrap();
    let to = bench.dir.path().join("backups");
    let ran = bench.run(&["backup", "--to", to.to_str().unwrap(), "--json"]).ended_with(1);
    let manifest = PathBuf::from(ran.json()["manifest"].as_str().unwrap());
    let ran = restore(&bench, &manifest, &empty_database(&bench).await).ended_with(1);
    assert!(
        ran.stderr.contains("function public.look") && !ran.stderr.contains("it ran"),
        "{}",
        ran.stderr
    );
    let accepting = ["--accept-schema"];
    let url = empty_database(&bench).await;
    let ran = restore_with(&bench, &manifest, &url, &accepting, &[]).ended_with(1);
    assert!(ran.stderr.contains("it ran"), "{}", ran.stderr);
}

#[tokio::test]
async fn nobody_restores_with_rights_over_the_server() {
    let bench = busy().await;
    let (_, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    let name = url.rsplit_once('/').unwrap().1;
    let superuser = test_kit::superuser_url();
    let (server, _) = superuser.rsplit_once('/').unwrap();
    let ran = restore(&bench, &manifest, &format!("{server}/{name}")).ended_with(1);
    assert!(ran.stderr.contains("owns the database alone"), "{}", ran.stderr);
}
