//! Names (SPEC section 5). Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Whether a name is fit for an id, an agent or a code: `[a-z0-9][a-z0-9_-]{0,63}`.
pub fn is_word(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=64).contains(&bytes.len())
        && !matches!(bytes[0], b'_' | b'-')
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Whether a name is fit for a queue: a word, or `@` and one.
pub fn is_queue(name: &str) -> bool {
    is_word(name.strip_prefix('@').unwrap_or(name))
}

/// Id and attempt of `P-NNNNNNNNNNNN.ID.ATTEMPT.json`; none if it is no such name.
pub(crate) fn parse_offer(name: &OsStr) -> Option<(&str, u32)> {
    let name = std::str::from_utf8(name.as_bytes()).ok()?;
    let mut parts = name.strip_suffix(".json")?.split('.');
    let (rank, id, attempt) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (priority, number) = rank.split_once('-')?;
    let ranked = priority.len() == 1 && number.len() == 12 && digits(priority) && digits(number);
    let counted = (1..=9).contains(&attempt.len()) && digits(attempt) && !attempt.starts_with('0');
    (ranked && is_word(id) && counted && parts.next().is_none()).then_some(())?;
    Some((id, attempt.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for good in ["a", "0", "a-_9", &"a".repeat(64)] {
            assert!(is_word(good) && is_queue(good) && is_queue(&format!("@{good}")), "{good}");
        }
        for bad in ["", "-x", "_x", "Ab", "a.b", "a b", "a/b", "..", "é", "a\n", "*", "@", "@@a", &"a".repeat(65)] {
            assert!(!is_word(bad) && !is_queue(bad), "{bad}");
        }
        assert!(!is_word("@a"));
    }

    #[test]
    fn offers() {
        assert_eq!(parse_offer(OsStr::new("5-000000000017.build-42.3.json")), Some(("build-42", 3)));
        assert_eq!(parse_offer(OsStr::new("0-000000000001.a.999999999.json")), Some(("a", 999_999_999)));
        let bad = [
            "",
            "5-1.a.1.json",
            "x-000000000001.a.1.json",
            "5-000000000001.a.0.json",
            "5-000000000001.a.01.json",
            "5-000000000001.a.1234567890.json",
            "5-000000000001.a.json",
            "5-000000000001..1.json",
            "5-000000000001.a.1.jsonl",
            "5-000000000001.A.1.json",
            "5-000000000001.a.1.result.json",
            ".5-000000000001.a.1.json",
            "5-000000000001.a.+1.json",
            "5-+00000000001.a.1.json",
        ];
        for name in bad {
            assert_eq!(parse_offer(OsStr::new(name)), None, "{name}");
        }
        assert_eq!(parse_offer(OsStr::from_bytes(b"5-000000000001.\xff.1.json")), None);
    }
}
