//! Words of others in messages of our own.

/// Text that came from outside, on one line, without control characters, and short: its end, where there is too much.
pub(crate) fn tame(bytes: &[u8]) -> String {
    const LIMIT: usize = 400;
    let text = String::from_utf8_lossy(bytes);
    let tame: Vec<char> = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let skipped = tame.len().saturating_sub(LIMIT);
    let dots = if skipped > 0 { "..." } else { "" };
    dots.chars().chain(tame.into_iter().skip(skipped)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_stay_on_one_short_line() {
        assert_eq!(tame(b"no\n\x1b[31mway\xff\n"), "no  [31mway\u{fffd}");
        let long = tame("x".repeat(5000).as_bytes());
        assert!(long.starts_with("...x") && long.len() == 403, "{long}");
    }
}
