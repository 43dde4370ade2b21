//! Texts as JSON strings. Pure.

/// Writes a text as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD, one each.
pub fn json_string(text: impl AsRef<[u8]>) -> String {
    json_string_of(text.as_ref(), usize::MAX)
}

/// The same, of at most so many characters.
pub(crate) fn json_string_of(text: &[u8], most: usize) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    characters(text).take(most).for_each(|character| match character {
        '"' | '\\' => json.extend(['\\', character]),
        '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => json.push(character),
    });
    json.push('"');
    json
}

fn characters(mut text: &[u8]) -> impl Iterator<Item = char> + '_ {
    std::iter::from_fn(move || {
        let ahead = &text[..text.len().min(4)];
        let valid = match std::str::from_utf8(ahead) {
            Ok(valid) => valid,
            Err(error) => std::str::from_utf8(&ahead[..error.valid_up_to()]).unwrap_or(""),
        };
        let found = valid.chars().next().or((!ahead.is_empty()).then_some('\u{fffd}'))?;
        text = &text[if valid.is_empty() { 1 } else { found.len_utf8() }..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts() {
        let known: [(&[u8], &str); 9] = [
            (b"", r#""""#),
            (b"a\"b\\c/", r#""a\"b\\c/""#),
            (b"\n\t\x00\x1f\x7f", "\"\\u000a\\u0009\\u0000\\u001f\x7f\""),
            ("é € 😀 \u{10ffff}\u{d7ff}\u{e000}".as_bytes(), "\"é € 😀 \u{10ffff}\u{d7ff}\u{e000}\""),
            (b"\xc3", "\"\u{fffd}\""),                                     // cut off
            (b"\xffx", "\"\u{fffd}x\""),                                   // never a byte of UTF-8
            (b"\xc0\xaf", "\"\u{fffd}\u{fffd}\""),                         // longer than it has to be
            (b"\xed\xa0\x80", "\"\u{fffd}\u{fffd}\u{fffd}\""),             // a surrogate
            (b"\xf4\x90\x80\x80", "\"\u{fffd}\u{fffd}\u{fffd}\u{fffd}\""), // past U+10FFFF
        ];
        for (text, json) in known {
            assert_eq!(json_string(text), json);
        }
    }

    #[test]
    fn cut_between_characters() {
        assert_eq!(json_string_of("üüü".as_bytes(), 2), "\"üü\"");
        assert_eq!(json_string_of(b"\"\"\"", 2), r#""\"\"""#);
        assert_eq!(json_string_of(b"\xff\xff\xff", 1), "\"\u{fffd}\"");
    }
}
