use std::time::Duration;

use cache::CacheError;
use cache::prices::{FreshPrice, PRICE_KEY};
use ledger_core::prediction::PriceSource;

use crate::{eventually, own_cache, own_cache_and_namespace, raw};

fn fresh() -> FreshPrice {
    FreshPrice {
        price: "97123.45".parse().unwrap(),
        source: PriceSource::Coingecko,
        provider_at: "2026-02-16T00:00:00.000001Z".parse().unwrap(),
        sampled_at: "2026-02-16T00:00:07Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_price_comes_back_as_it_was_put() {
    let cache = own_cache().await;
    assert_eq!(cache.price().await, Ok(None));
    cache.put_price(&fresh(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(cache.price().await, Ok(Some(fresh())));
}

#[tokio::test]
async fn a_price_goes_stale_by_itself() {
    let cache = own_cache().await;
    cache.put_price(&fresh(), Duration::from_millis(30)).await.unwrap();
    eventually("the price goes stale", || async { cache.price().await == Ok(None) }).await;
}

#[tokio::test]
async fn a_price_that_is_none_is_named_as_corrupt() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let mut raw = raw().await;
    let sound = r#""source":"coingecko","provider_at":"2026-02-16T00:00:00Z","sampled_at":"2026-02-16T00:00:00Z"}"#;
    let zero = format!(r#"{{"price":"0",{sound}"#);
    let float = format!(r#"{{"price":1.5,{sound}"#);
    for junk in ["50000", "{}", zero.as_str(), float.as_str()] {
        let key = format!("{namespace}{PRICE_KEY}");
        redis::cmd("SET").arg(key).arg(junk).exec_async(&mut raw).await.unwrap();
        assert!(matches!(cache.price().await, Err(CacheError::Corrupt(_))), "{junk}");
    }
}
