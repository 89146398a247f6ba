use std::collections::BTreeMap;
use std::time::Duration;

use cache::Cache;
use cache::presence::{BELIEVED, Presence, REDIS_URL, SECRET_KEY, login_fingerprint};
use redis::AsyncCommands as _;

use crate::{eventually, own_cache, own_cache_and_namespace, raw, redis_url};

async fn only(cache: &Cache) -> Option<Presence> {
    let mut present = cache.present().await.unwrap();
    assert!(present.len() < 2, "{present:?}");
    present.pop()
}

async fn uses(cache: &Cache, setting: &str) -> Option<String> {
    only(cache).await?.credentials.get(setting).cloned()
}

#[tokio::test]
async fn a_process_is_present_until_it_leaves() {
    let cache = own_cache().await;
    assert_eq!(only(&cache).await, None);
    let announcement = cache.announce("api");
    eventually("it is present", || async { only(&cache).await.is_some() }).await;
    let present = only(&cache).await.unwrap();
    let pid = format!("(pid {})", std::process::id());
    assert!(present.process.starts_with("api on ") && present.process.ends_with(&pid));
    let login = login_fingerprint(&redis_url()).unwrap();
    let expected = BTreeMap::from([(REDIS_URL.to_owned(), login)]);
    assert_eq!(present.credentials, expected);
    announcement.leave().await;
    assert_eq!(only(&cache).await, None);
}

#[tokio::test]
async fn a_credential_that_changes_is_told() {
    let cache = own_cache().await;
    let _announcement = cache.announce("api");
    eventually("it is present", || async { only(&cache).await.is_some() }).await;
    for fingerprint in ["one", "another"] {
        cache.uses(SECRET_KEY, fingerprint.to_owned());
        eventually("it is told", || async {
            uses(&cache, SECRET_KEY).await.as_deref() == Some(fingerprint)
        })
        .await;
    }
    cache.take_up(&redis_url()).await.unwrap();
    let login = login_fingerprint(&redis_url()).unwrap();
    assert_eq!(uses(&cache, REDIS_URL).await, Some(login));
}

#[tokio::test]
async fn one_that_dies_is_believed_for_a_while_and_one_whose_word_was_lost_says_it_again() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let announcement = cache.announce("ticker");
    eventually("it is present", || async { only(&cache).await.is_some() }).await;
    let mut redis = raw().await;
    let keys: Vec<String> = redis.keys(format!("{namespace}process:*")).await.unwrap();
    let [key] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    // As when Redis was emptied.
    let removed: usize = redis.del(key).await.unwrap();
    assert_eq!(removed, 1);
    eventually("it says so again", || async { only(&cache).await.is_some() }).await;
    let said: String = redis.get(key).await.unwrap();
    let left: i64 = redis.ttl(key).await.unwrap();
    let believed = i64::try_from(BELIEVED.as_secs()).unwrap();
    assert!(0 < left && left <= believed, "{left}");
    announcement.leave().await;
    // As when it was killed a minute ago.
    let () = redis.set_ex(key, said, BELIEVED.as_secs() - 60).await.unwrap();
    let silent = only(&cache).await.unwrap().silent;
    assert!(silent >= Duration::from_secs(60), "{silent:?}");
}

#[tokio::test]
async fn a_start_that_failed_leaves_nothing_behind() {
    let cache = own_cache().await;
    let announcement = cache.announce("oracle");
    eventually("it is present", || async { only(&cache).await.is_some() }).await;
    drop(announcement);
    eventually("it is forgotten", || async { only(&cache).await.is_none() }).await;
}

#[tokio::test]
async fn many_are_all_found_and_nobody_of_another_arena() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let other = own_cache().await;
    let _other = other.announce("api");
    eventually("the other is present", || async { only(&other).await.is_some() }).await;
    let mut redis = raw().await;
    for number in 0..50 {
        let presence = Presence {
            process: format!("api on m{number} (pid 1)"),
            host: format!("m{number}"),
            pid: 1,
            credentials: BTreeMap::new(),
            silent: Duration::ZERO,
        };
        let text = serde_json::to_string(&presence).unwrap();
        let key = format!("{namespace}process:{number}");
        let () = redis.set_ex(key, text, 60).await.unwrap();
    }
    assert_eq!(cache.present().await.unwrap().len(), 50);
}

#[tokio::test]
async fn what_is_no_presence_is_an_error_and_not_nobody() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let mut redis = raw().await;
    let () = redis.set_ex(format!("{namespace}process:x"), "noise", 60).await.unwrap();
    let error = cache.present().await.unwrap_err().to_string();
    assert!(error.contains("process:x"), "{error}");
}
