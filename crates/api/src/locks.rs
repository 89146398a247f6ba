//! One at a time, for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Place = tokio::sync::Mutex<()>;

/// Async locks by key, which use memory only while they are held or awaited.
pub(crate) struct KeyedLocks<K> {
    places: Mutex<HashMap<K, Weak<Place>>>,
}

impl<K: Eq + Hash> KeyedLocks<K> {
    pub(crate) fn new() -> KeyedLocks<K> {
        KeyedLocks { places: Mutex::new(HashMap::new()) }
    }

    /// Waits until the key's lock is free. Dropping the guard lets the next one in.
    pub(crate) async fn lock(&self, key: K) -> OwnedMutexGuard<()> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            // Rare enough to be cheap: removes only unused locks.
            if places.len() >= places.capacity() {
                places.retain(|_, place| place.strong_count() > 0);
            }
            let place = places.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            places.insert(key, Arc::downgrade(&place));
            place
        };
        place.lock_owned().await
    }
}
