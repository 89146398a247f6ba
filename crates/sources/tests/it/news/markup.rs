//! Feeds that are odd, broken or hostile, and what is still read of them.

use super::*;

#[test]
fn what_ends_early_is_not_whole() {
    for feed in [RSS2, RSS1, ATOM] {
        let text = std::str::from_utf8(feed).unwrap().trim_end();
        let all = parse_feed(feed).unwrap();
        for length in 0..text.len() {
            match parse_feed(&feed[..length]) {
                Ok(read) => {
                    assert!(!read.whole, "{length}");
                    assert!(read.items.len() <= all.items.len(), "{length}");
                    let told = mentions(&read, "no such word", now(), now());
                    assert!(told.is_err(), "{length}");
                }
                Err(error) => assert_eq!(error, SourceError::NotFeed, "{length}"),
            }
        }
    }
}

#[test]
fn what_is_no_feed_is_refused() {
    for text in [
        "<html><head><title>x</title></head></html>",
        "<!DOCTYPE html><html></html>",
        r#"{"version":"https://jsonfeed.org/version/1","items":[]}"#,
        "<rss",
        "&",
        "",
        "[]",
    ] {
        let read = parse_feed(text.as_bytes());
        assert_eq!(read, Err(SourceError::NotFeed), "{text:.80}");
    }
    let large = format!("{}{}", rss(""), " ".repeat(2 * 1024 * 1024));
    assert_eq!(parse_feed(large.as_bytes()), Err(SourceError::TooLarge));
}

#[test]
fn one_odd_element_never_costs_the_whole_feed() {
    for item in [
        "<item><title>a & b</title><pubDate>x</pubDate></item>",
        "<item><title>x</titel></item>",
        "<item><title>x<pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item>",
        "<item><title>x</title>",
        "<item><title>x</title></b></item>",
        "<item><title>&#0;</title></item>",
        "<item><title a=\"1\" a=\"2\">x</title></item>",
        "<item><title>x</title><![CDATA[never ended</item>",
        "<item><title>x</title><!-- never ended</item>",
        "<item/>",
        "<item></item></item>",
        "<item><media:group><media:title>not this</media:title></media:group></item>",
        &"<a>".repeat(1_000),
        "<",
        "\0",
    ] {
        let read = parse_feed(among_others(item).as_bytes()).unwrap();
        let found = titles(&read);
        assert!(found.contains(&"before"), "{item:.60}: {read:?}");
        // The items after it are read, unless its end is unclear.
        let bets_closed = at("2026-11-24T12:59:00Z");
        let after = mentions(&read, "after", bets_closed, now());
        if item.starts_with("<a><a>") {
            assert!(!read.whole);
        } else {
            let after = after.unwrap().and_then(|it| it.title.as_deref());
            assert_eq!(after, Some("after"), "{item:.60}: {read:?}");
        }
        // Whether "y" was mentioned is unclear: the broken item may be a match.
        let bets_closed = at("2026-11-24T13:30:00Z");
        let told = mentions(&read, "y", bets_closed, now());
        let harmless = ["a & b", "</b>", "a=\"1\"", "\0", "</item></item>"];
        if !harmless.iter().any(|it| item.contains(it)) {
            assert!(told.is_err(), "{item:.60}: {read:?}");
        }
    }
}

#[test]
fn a_broken_description_costs_no_headline() {
    for text in [
        "a<br>b",
        "a</p>b",
        "<p>a<p>b",
        "a & b; c",
        "&nosuch;",
        "1 < 2",
        "<img alt=\"5\" tall\">",
        "<!if gte mso 9>",
        "<title>not this</title>",
    ] {
        let description = format!("<description>{text}</description>");
        for item in [
            ITEM.replace("<title>", &format!("{description}<title>")),
            ITEM.replace("</item>", &format!("{description}</item>")),
        ] {
            let told = decided(among_others(&item).as_bytes(), "", "rust").1;
            assert_eq!(told, Ok(Some(Side::No)), "{item}");
            let item = item.replace(">x<", ">Rust<");
            let told = decided(among_others(&item).as_bytes(), "", "rust").1;
            assert_eq!(told, Ok(Some(Side::Yes)), "{item}");
        }
    }
    // One that does not end may hold what belongs to the item.
    let endless = ITEM.replace("</item>", "<description>a<br>b</item>");
    let told = decided(among_others(&endless).as_bytes(), "", "rust").1;
    assert_eq!(told, Err(SourceError::InDoubt { items: 1 }));
}

#[test]
fn a_feed_is_read_in_the_encoding_that_it_declares() {
    let feed = among_others(&ITEM.replace(">x<", ">Das Café öffnet<"));
    let declared = |label: &str| format!("<?xml version=\"1.0\" encoding=\"{label}\"?>{feed}");
    let latin: Vec<u8> = declared("ISO-8859-1").chars().map(|c| u8::try_from(c).unwrap()).collect();
    let undeclared: Vec<u8> = feed.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let marked = [b"\xff\xfe".to_vec(), wide(&declared("UTF-16"), u16::to_le_bytes)].concat();
    for (body, charset) in [
        (latin.clone(), ""),
        (undeclared.clone(), "; charset=windows-1252"),
        (undeclared.clone(), ";charset=\"ISO-8859-1\""),
        (marked, ""),
        (wide(&declared("utf-16"), u16::to_be_bytes), ""),
        (wide(&feed, u16::to_le_bytes), ""),
        // UTF-8, regardless of its declaration.
        (declared("ISO-8859-1").into_bytes(), ""),
        (declared("Shift_JIS").into_bytes(), "; charset=windows-1252"),
        (declared("UTF-16").into_bytes(), ""),
        (declared("none").into_bytes(), "; charset=none"),
        ([b"\xef\xbb\xbf", feed.as_bytes()].concat(), ""),
    ] {
        let (kept, told) = decided(&body, charset, "café");
        assert_eq!(told, Ok(Some(Side::Yes)), "{charset}");
        assert!(parse(&kept.body).unwrap().whole);
    }
    // Shift_JIS.
    let japan = among_others(&ITEM.replace(">x<", ">AB<"));
    let japan = format!("<?xml version='1.0' encoding='Shift_JIS'?>{japan}").replace("AB", "\u{1}");
    let japan: Vec<u8> = japan
        .bytes()
        .flat_map(|byte| if byte == 1 { b"\x83\x89".to_vec() } else { vec![byte] })
        .collect();
    assert_eq!(decided(&japan, "", "ラ").1, Ok(Some(Side::Yes)));
    // Not the declared encoding: its text is unknown.
    let told = decided(&undeclared, "; charset=utf-8", "café").1;
    assert_eq!(told, Err(SourceError::InDoubt { items: 1 }));
}

/// Input that a stricter parser would refuse, and this one does not.
#[test]
fn what_the_web_calls_a_feed_is_read() {
    let channel = rss(&format!("<channel>{ITEM}</channel>"));
    let atom =
        "<feed><entry><title>x</title><published>2026-11-24T14:05:00Z</published></entry></feed>";
    for text in [
        channel.replace("2.0", "0.91"),
        channel.replace("2.0", ""),
        channel.replace(" version=\"2.0\"", ""),
        rss(&format!("<y:channel>{ITEM}</y:channel>")),
        rss(ITEM),
        channel.replace("title>", "dc:title>"),
        channel.replace("<title>x", "<title>x</title><title>x"),
        channel.replace("pubDate>", "dc:date>"),
        channel.replace("pubDate>", "a10:published>"),
        channel.replace("</item>", "<media:title>another</media:title></item>"),
        channel.replace("</item>", "<updated>2026-11-24T15:00:00Z</updated></item>"),
        format!("\n<!-- a feed -->{channel}<!-- a feed -->\n"),
        format!("\u{feff}{channel}"),
        atom.to_owned(),
        atom.replace("<feed>", "<atom:feed>")
            .replace("entry>", "atom:entry>")
            .replace("title>", "atom:title>")
            .replace("</feed>", "</atom:feed>"),
        atom.replace("feed>", "entry>")
            .replace("<entry><entry>", "<entry>")
            .replace("</entry></entry>", "</entry>"),
    ] {
        let expected = whole(vec![headline("x", "2026-11-24T14:05:00Z", None)]);
        assert_eq!(parse_feed(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn the_link_is_the_first_to_the_article() {
    let read = |links: &str| {
        let feed = format!(
            "<feed xmlns=\"http://www.w3.org/2005/Atom\"><entry><title>x</title>{links}\
             <updated>2026-11-24T14:05:00Z</updated></entry></feed>"
        );
        parse_feed(feed.as_bytes()).unwrap().items.remove(0).link
    };
    let article = Some("https://example.org/1".to_owned());
    for before in [
        "",
        "<link rel=\"self\" href=\"https://example.org/feed\"/>",
        "<link rel=\"enclosure\" href=\"https://example.org/1.jpg\"/>",
        "<link href=\"javascript:alert(1)\"/>",
        "<link href=\"/0\"/>",
        "<link/>",
    ] {
        assert_eq!(read(before), None, "{before}");
        let links = format!(
            "{before}<link href=\"https://example.org/1\"/><link href=\"https://b.org/\"/>"
        );
        assert_eq!(read(&links), article, "{before}");
    }
    let commented = rss(&format!(
        "<channel>{}</channel>",
        ITEM.replace("</item>", "<comments>https://example.org/1#c</comments></item>")
    ));
    assert_eq!(parse_feed(commented.as_bytes()).unwrap().items[0].link, None);
}

#[test]
fn a_hostile_feed_costs_little() {
    let started = std::time::Instant::now();
    for part in [
        "<a>",
        "<!--",
        "<![CDATA[",
        "<item>",
        "&",
        "&a;",
        "<",
        "</a>",
        "<title>",
        "<item><title>&amp;",
    ] {
        let body = rss(&part.repeat(2_000_000 / part.len()));
        if let Ok(read) = parse_feed(body.as_bytes()) {
            assert!(
                !read.whole || read.items.iter().all(|it| !it.whole || it.title.is_none()),
                "{part}"
            );
        }
    }
    // Ten walks over two mebibytes each, also without optimisation.
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn strange_markup_changes_no_headline() {
    let read = |title: &str| {
        let feed = format!(
            "<!DOCTYPE rss [<!ENTITY bomb \"boom\"><!ENTITY bombs \"&bomb;&bomb;&bomb;&bomb;\">]>\
             <rss version=\"2.0\"><channel><item><title>{title}</title>\
             <pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item></channel></rss>"
        );
        parse_feed(feed.as_bytes()).unwrap().items.remove(0)
    };
    for (markup, title) in [
        ("a&nbsp;b", "a b"),
        ("a<!-- not this -->b", "ab"),
        ("a<?not this?>b", "ab"),
        ("a <b>c</b> d", "a c d"),
        ("a & b", "a & b"),
        ("a & b; c", "a & b; c"),
        ("AT&amp;amp;T", "AT&T"),
        ("&#x52;ust", "Rust"),
        ("  a\n\tb  ", "a b"),
        ("<![CDATA[<title>]]>", "<title>"),
        ("<![CDATA[AT&amp;T]]>", "AT&T"),
    ] {
        let item = read(markup);
        assert_eq!(item.title.as_deref(), Some(title), "{markup}");
        assert!(item.whole, "{markup}");
    }
    for (markup, title) in [
        ("&#0;", "\u{fffd}"),
        ("a\u{fffd}", "a\u{fffd}"),
        ("a<b>b", "ab\u{fffd}"),
        ("a &bombs; b", "a \u{fffd} b"),
        ("a&nosuch;", "a\u{fffd}"),
        ("&bomb;&#xzz;", "\u{fffd}\u{fffd}"),
    ] {
        let item = read(markup);
        assert_eq!(item.title.as_deref(), Some(title), "{markup}");
        assert!(!item.whole, "{markup}");
    }
}
