//! A URL of Redis: address, user and encryption.
//!
//! `rediss://` is TLS: the certificate must be signed by a CA that the machine trusts, or by one of
//! `?sslrootcert=`, the absolute path of a file in PEM, and must be issued for the host of the URL. There is
//! no way to take any certificate.

use std::path::Path;

use redis::{Client, TlsCertificates};
use url::Url;

use crate::error::{CacheError, CacheResult};

const ROOT_CERTIFICATE: &str = "sslrootcert";

/// A client that is not connected yet.
///
/// # Errors
/// [`CacheError::Url`] if the URL cannot be read, [`CacheError::Certificate`] if its CA cannot.
pub(crate) fn client(url: &str) -> CacheResult<Client> {
    let (url, root) = split(url)?;
    if url.scheme() == "rediss" && url.fragment().is_some() {
        let rule = "REDIS_URL must not end with #insecure or any other fragment";
        return Err(CacheError::Certificate(rule.to_owned()));
    }
    let Some(path) = root else {
        return Client::open(url).map_err(|_| CacheError::Url);
    };
    let unusable = |why: &dyn std::fmt::Display| {
        CacheError::Certificate(format!("sslrootcert ({path}) cannot be used: {why}"))
    };
    if !Path::new(&path).is_absolute() {
        return Err(unusable(&"it must be an absolute path"));
    }
    if url.scheme() != "rediss" {
        return Err(unusable(&"the URL must begin with rediss://"));
    }
    let pem = std::fs::read(&path).map_err(|error| unusable(&error))?;
    if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
        return Err(unusable(&"it has no certificate in PEM"));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(url, certificates).map_err(|error| unusable(&error))
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A client with only the user, without reading a file.
pub(crate) fn login(url: &str) -> CacheResult<Client> {
    Client::open(split(url)?.0).map_err(|_| CacheError::Url)
}

/// The URL without our own parameter, and its value.
fn split(text: &str) -> CacheResult<(Url, Option<String>)> {
    let mut url = Url::parse(text).map_err(|_| CacheError::Url)?;
    let root = url
        .query_pairs()
        .find(|(name, _)| name == ROOT_CERTIFICATE)
        .map(|(_, path)| path.into_owned());
    if root.is_some() {
        let rest: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != ROOT_CERTIFICATE)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
    }
    Ok((url, root))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_login_and_other_parameters_survive() {
        let url = "rediss://me:p%40ss@h:6380/2?sslrootcert=/my%20ca.pem&protocol=resp3";
        let (rest, root) = split(url).unwrap();
        assert_eq!(rest.as_str(), "rediss://me:p%40ss@h:6380/2?protocol=resp3");
        assert_eq!(root.as_deref(), Some("/my ca.pem"));
        let login = login(url).unwrap();
        let login = login.get_connection_info().redis_settings();
        assert_eq!(login.password(), Some("p@ss"));
    }

    #[test]
    fn what_would_protect_less_than_it_says_is_refused() {
        let refused = |url| client(url).err().unwrap().to_string();
        assert!(refused("redis://h/?sslrootcert=/ca.pem").contains("rediss://"));
        assert!(refused("rediss://h/?sslrootcert=ca.pem").contains("absolute"));
        assert!(refused("rediss://h/?sslrootcert=/nowhere.pem").contains("/nowhere.pem"));
        assert!(refused("rediss://h/?sslrootcert=/etc/passwd").contains("no certificate"));
        assert!(refused("rediss://h/#insecure").contains("#insecure"));
    }
}
