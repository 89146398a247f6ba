//! The window: a page that shows the arena, from the binary. `crates/api/web` has its source.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::prelude::*;
use crate::keys::{hex, sha256};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get("/", page), get("/web/{file:.*}", file)]
}

/// No inline script, no style attribute, and no other host. The page shows strangers' words as
/// text; if a bug made them markup, this policy would stop their scripts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; worker-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../web/", $path)).as_slice())),*]
    };
}

/// All that a browser may fetch.
const FILES: &[(&str, &[u8])] = files![
    "api.js",
    "chain.js",
    "chart.js",
    "clock.js",
    "digest.js",
    "entry_types.js",
    "icon.svg",
    "index.html",
    "live.js",
    "main.js",
    "numbers.js",
    "pages/arena.js",
    "pages/bot-balance.js",
    "pages/bot-ledger.js",
    "pages/bot-positions.js",
    "pages/bot-verify.js",
    "pages/bot.js",
    "pages/join.js",
    "pages/markets.js",
    "pages/operator-acts.js",
    "pages/operator-health.js",
    "pages/operator.js",
    "session.js",
    "state.js",
    "style.css",
    "ui.js",
    "vendor/htm.umd.js",
    "vendor/noble/_md.js",
    "vendor/noble/_u64.js",
    "vendor/noble/sha2.js",
    "vendor/noble/utils.js",
    "vendor/preact-hooks.umd.js",
    "vendor/preact.min.umd.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
    "verify-worker.js",
    "words.js",
];

/// A file as it travels.
struct File {
    content_type: &'static str,
    plain: Bytes,
    compressed: Bytes,
    entity_tag: HeaderValue,
}

static SERVED: LazyLock<HashMap<&str, File>> =
    LazyLock::new(|| FILES.iter().map(|(path, text)| (*path, File::of(path, text))).collect());

impl File {
    fn of(path: &str, text: &'static [u8]) -> File {
        let tag = format!("W/\"{}\"", &hex(&sha256(text))[..32]);
        File {
            content_type: content_type(path),
            plain: Bytes::from_static(text),
            compressed: compressed(text),
            entity_tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("")),
        }
    }

    fn answer(&self, req: &HttpRequest) -> HttpResponse {
        let header =
            |name| req.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let tag = self.entity_tag.to_str().unwrap_or_default();
        let is_known = header(IF_NONE_MATCH)
            .is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
        let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        // Also with a 304: a browser puts its headers in the place of those that it has kept.
        answer
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            // A new build has new files, and therefore another tag.
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((ETAG, self.entity_tag.clone()))
            .insert_header((VARY, "Accept-Encoding"));
        if is_known {
            return answer.finish();
        }
        answer.content_type(self.content_type);
        if header(ACCEPT_ENCODING).is_some_and(takes_gzip) {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
            return answer.body(self.compressed.clone());
        }
        answer.body(self.plain.clone())
    }
}

/// Whether a client takes gzip: named, and not with a weight of nothing.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = parts.any(|weight| {
            weight.strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty())
        });
        is_gzip && !is_refused
    })
}

fn compressed(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory cannot fail.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.map(Bytes::from).unwrap_or_default()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// `GET /`.
async fn page(req: HttpRequest) -> ApiResult {
    served(&req, "index.html")
}

/// `GET /web/{file}`.
async fn file(req: HttpRequest, path: Path<String>) -> ApiResult {
    served(&req, &path)
}

fn served(req: &HttpRequest, path: &str) -> ApiResult {
    let file = SERVED.get(path).ok_or_else(|| ApiError::not_found("such file"))?;
    Ok(file.answer(req))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn walk(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["tests", "node_modules"].contains(&name.as_str()) {
                    walk(&path, found, root);
                }
            } else if content_type(&name) != "application/octet-stream" {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there = BTreeSet::new();
        walk(&root, &mut there, &root);
        let served: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn all_of_it_is_small_enough_for_a_slow_line() {
        let bytes: usize = SERVED.values().map(|file| file.compressed.len()).sum();
        assert!(bytes <= 200 * 1024, "{bytes} bytes");
        assert!(SERVED.values().all(|file| !file.compressed.is_empty()));
    }

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), expected, "{accepted}");
        }
    }
}
