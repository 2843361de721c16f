//! Nothing that acts is left, and saying it twice changes nothing.

use crate::text;

pub(super) fn target(data: &[u8]) {
    let lines = text::printable(data);
    assert!(lines.chars().all(text::is_harmless), "{lines:?}");
    assert_eq!(text::printable(&lines), lines);
    let line = text::one_line(data);
    assert!(line.chars().all(|c| c != '\n' && text::is_harmless(c)), "{line:?}");
    assert_eq!(text::one_line(&line), line);
    let max = data.first().map_or(0, |byte| usize::from(*byte));
    assert!(text::bounded(&lines, max).chars().count() <= max);
    assert!(text::last_lines(&lines, max).lines().count() <= max);
}
