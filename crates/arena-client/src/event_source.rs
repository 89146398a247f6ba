//! Server-Sent Events, read as the HTML standard describes them, from bytes as they come.

use std::collections::VecDeque;
use std::time::Duration;

/// A block that ends with an empty line: a message, a new position, or both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The position behind it, where it names one.
    pub(crate) id: Option<String>,
    /// The kind of the message; empty where it names none.
    pub(crate) kind: String,
    /// The message, where there is one.
    pub(crate) data: Option<String>,
}

/// A block has no end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// One connection's bytes on their way to blocks.
pub(crate) struct EventSource {
    bytes_max: usize,
    line: Vec<u8>,
    block: Block,
    ready: VecDeque<Block>,
    retry: Option<Duration>,
    is_first_line: bool,
    ends_with_cr: bool,
}

impl EventSource {
    /// Limits a block to about `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> EventSource {
        EventSource {
            bytes_max,
            line: Vec::new(),
            block: Block::default(),
            ready: VecDeque::new(),
            retry: None,
            is_first_line: true,
            ends_with_cr: false,
        }
    }

    /// The next block that came whole. An unfinished block is dropped.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }

    /// The wait before a reconnection, once the server has set it.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.ends_with_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => self.end_line(),
                _ => self.line.push(byte),
            }
        }
        let data = self.block.data.as_ref().map_or(0, String::len);
        if self.line.len().saturating_add(data) > self.bytes_max {
            return Err(TooLarge);
        }
        Ok(())
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line: &str = &line;
        if std::mem::take(&mut self.is_first_line) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.end_block();
            return;
        }
        // A comment is a field without a name.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.block.kind),
            "data" => match &mut self.block.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.block.data = Some(value.to_owned()),
            },
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let millis = value.parse().ok().map(Duration::from_millis);
                self.retry = millis.or(self.retry);
            }
            _ => {}
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.id.is_some() || block.data.is_some() {
            self.ready.push_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn block(id: Option<&str>, kind: &str, data: Option<&str>) -> Block {
        Block { id: id.map(str::to_owned), kind: kind.to_owned(), data: data.map(str::to_owned) }
    }

    /// The result of the text in pieces of this many bytes.
    fn read(text: &str, piece: usize) -> (Vec<Block>, Option<Duration>) {
        let mut source = EventSource::new(1024);
        for bytes in text.as_bytes().chunks(piece) {
            source.push(bytes).unwrap();
        }
        let blocks = std::iter::from_fn(|| source.pop()).collect();
        (blocks, source.retry())
    }

    #[test]
    fn blocks_are_the_same_however_they_are_cut_and_lines_may_end_in_three_ways() {
        let text = "\u{feff}retry: 250\nid: a\n\n: still here\n\nid: b\nevent: tick\ndata: {\"ä\":1}\n\n\
                    data:one\ndata:  two\nunknown: x\n\nevent: post\n\ndata\n\nid: c\ndata: half";
        let expected = [
            block(Some("a"), "", None),
            block(Some("b"), "tick", Some("{\"ä\":1}")),
            block(None, "", Some("one\n two")),
            block(None, "", Some("")),
        ];
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for piece in [1, 2, 3, 7, 4096] {
                let (blocks, retry) = read(&text, piece);
                assert_eq!(blocks, expected, "{end:?} in pieces of {piece}");
                assert_eq!(retry, Some(Duration::from_millis(250)));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        for text in [
            "retry: soon\n\n",
            "retry: -1\n\n",
            "retry:\n\n",
            "retry: 99999999999999999999999\n\n",
            "id: a\0b\n\n",
            "ID: a\n\n",
            "\n\n\n",
        ] {
            assert_eq!(read(text, 4096), (Vec::new(), None), "{text:?}");
        }
    }

    #[test]
    fn a_block_without_an_end_is_given_up() {
        let push = |texts: &[&str]| {
            let mut source = EventSource::new(64);
            texts.iter().try_for_each(|text| source.push(text.as_bytes()))
        };
        let long: &str = &"x".repeat(70);
        assert_eq!(push(&[long]), Err(TooLarge));
        let line: &str = &format!("data: {}\n", "x".repeat(30));
        assert_eq!(push(&[line, line, line]), Err(TooLarge));
        let whole: &str = &format!("{line}\n");
        assert_eq!(push(&[whole, whole, whole]), Ok(()));
    }
}
