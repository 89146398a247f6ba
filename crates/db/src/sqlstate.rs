//! The codes of Postgres' errors, because diesel returns only their texts.
//!
//! Texts come in the language of the server (`lc_messages`, which only a superuser may change), so
//! nothing may be decided by them. Diesel maps a few codes to its own names and drops all others.
//! So each connection's stream passes through [`Overheard`], which records code and text of each
//! error from the server, and [`of`] finds the code by the text that diesel returns, in any
//! language.
//!
//! It must never change the data, keep only the last few errors, and cost almost nothing for other
//! messages: it reads only the five bytes of their heads.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::future::{Ready, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// Errors that are remembered. Diesel returns an error as soon as it is read.
const REMEMBERED: usize = 512;
/// For a longer error the beginning is enough: code and text come first.
const ERROR_BYTES_MAX: usize = 16 * 1024;
/// Type and length of a message.
const HEAD_BYTES: usize = 5;
const ERROR_RESPONSE: u8 = b'E';

static HEARD: LazyLock<Mutex<Heard>> = LazyLock::new(Mutex::default);

/// The code of the error that was last heard with this text.
pub(crate) fn of(message: &str) -> Option<String> {
    let heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    heard.code_of(message).cloned()
}

/// Messages and their codes, the oldest first.
#[derive(Default)]
struct Heard(VecDeque<(String, String)>);

impl Heard {
    fn code_of(&self, message: &str) -> Option<&String> {
        self.0.iter().find(|(known, _)| known == message).map(|(_, code)| code)
    }

    fn keep(&mut self, code: String, message: String) {
        // A repeated error becomes the newest again: diesel may look it up at once.
        self.0.retain(|(known, _)| *known != message);
        self.0.push_back((message, code));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }
}

/// Finds the errors in what a server sends.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    /// The remaining bytes of the message.
    left: usize,
    /// Its bytes so far, if it is an error.
    error: Option<Vec<u8>>,
}

impl Frames {
    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match self.left {
                0 => HEAD_BYTES - self.head.len(),
                left => left,
            };
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.body(part);
            } else {
                self.head.extend_from_slice(part);
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let &[kind, a, b, c, d] = self.head.as_slice() else {
            return;
        };
        self.head.clear();
        // The length counts itself.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        self.left = length.saturating_sub(4);
        self.error = (kind == ERROR_RESPONSE).then(Vec::new);
    }

    fn body(&mut self, part: &[u8]) {
        self.left -= part.len();
        if let Some(error) = &mut self.error {
            let room = ERROR_BYTES_MAX.saturating_sub(error.len());
            error.extend(part.iter().take(room));
        }
        if self.left == 0
            && let Some(error) = self.error.take()
            && let Some((code, message)) = code_and_message(&error)
        {
            let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
            heard.keep(code, message);
        }
    }
}

/// Of the fields of an error, each a letter and a text that ends with a zero.
fn code_and_message(error: &[u8]) -> Option<(String, String)> {
    let field = |wanted: u8| {
        error
            .split(|byte| *byte == 0)
            .filter_map(|field| field.split_first())
            .find(|(letter, _)| **letter == wanted)
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
    };
    Some((field(b'C')?, field(b'M')?))
}

/// A connection's stream, read along.
pub(crate) struct Overheard<S> {
    inner: S,
    frames: Frames,
}

impl<S> Overheard<S> {
    pub(crate) fn new(inner: S) -> Overheard<S> {
        Overheard { inner, frames: Frames::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if let Some(new) = buffer.filled().get(before..) {
            this.frames.hear(new);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Overheard<S> {
    /// Only the server's certificate is checked.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// The bare socket with a monitor, where the driver allows a custom stream. The driver takes it for
/// encrypted, the server does not: nothing but what would be sent without TLS is sent.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl MakeTlsConnect<Socket> for Plain {
    type Stream = Overheard<Socket>;
    type TlsConnect = Plain;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Plain> {
        Ok(Plain)
    }
}

impl TlsConnect<Socket> for Plain {
    type Stream = Overheard<Socket>;
    type Error = io::Error;
    type Future = Ready<io::Result<Overheard<Socket>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Overheard::new(socket)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ERROR_BYTES_MAX, Frames, Heard, REMEMBERED, code_and_message, of};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn error(code: &str, text: &str) -> Vec<u8> {
        let body = format!("SFEHLER\0VERROR\0C{code}\0M{text}\0Fpostgres.c\0\0");
        message(b'E', body.as_bytes())
    }

    #[test]
    fn code_and_text_are_found_whatever_stands_between() {
        let body = "SFEHLER\0VERROR\0C55P03\0MSperre nicht verfügbar\0\0".as_bytes();
        let found = code_and_message(body).unwrap();
        assert_eq!(found, ("55P03".to_owned(), "Sperre nicht verfügbar".to_owned()));
        assert_eq!(code_and_message(b"SERROR\0\0"), None);
        assert_eq!(code_and_message(b""), None);
    }

    #[test]
    fn an_error_too_long_ends_without_losing_the_next() {
        let mut frames = Frames::default();
        frames.hear(&error("XX001", &"x".repeat(ERROR_BYTES_MAX * 3)));
        frames.hear(&error("XX002", "danach"));
        assert_eq!(of("danach").as_deref(), Some("XX002"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut heard = Heard::default();
        for number in 0..REMEMBERED * 2 {
            heard.keep("XX000".to_owned(), number.to_string());
            heard.keep("XX000".to_owned(), "the same".to_owned());
        }
        assert!(heard.0.len() <= REMEMBERED);
        assert!(heard.code_of(&(REMEMBERED * 2 - 1).to_string()).is_some());
    }

    #[test]
    fn what_is_heard_again_is_the_newest() {
        let mut heard = Heard::default();
        for number in 0..REMEMBERED {
            heard.keep("XX000".to_owned(), number.to_string());
        }
        heard.keep("XX001".to_owned(), "0".to_owned());
        heard.keep("XX000".to_owned(), "one more".to_owned());
        assert_eq!(heard.code_of("0").map(String::as_str), Some("XX001"));
        assert_eq!(heard.code_of("1"), None, "the oldest by now");
        assert_eq!(heard.0.len(), REMEMBERED);
    }

    proptest! {
        #[test]
        fn errors_are_heard_however_the_stream_is_cut(
            others in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            number in any::<u64>(),
            cut in 1..30_usize,
        ) {
            let text = format!("Fehler {number}");
            let mut stream = Vec::new();
            for other in &others {
                stream.extend(message(b'D', other));
                stream.extend(message(b'Z', b"I"));
            }
            stream.extend(error("40P01", &text));
            stream.extend(message(b'Z', b"E"));
            let mut frames = Frames::default();
            for part in stream.chunks(cut) {
                frames.hear(part);
            }
            let heard = of(&text);
            prop_assert_eq!(heard.as_deref(), Some("40P01"));
        }
    }
}
