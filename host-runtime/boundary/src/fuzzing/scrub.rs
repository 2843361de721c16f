//! The first line is the secret, the rest the bytes it may stand in; the last byte chooses how they are cut into pieces.

use crate::scrub::Scrubber;

pub(super) fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (value, rest) = data.split_at(end);
    let Ok(scrubber) = Scrubber::new([("a", value)]) else { return };
    let whole = scrubber.scrub(rest);
    // Only what the marker and its surroundings make can be the value again.
    if !b"<secret:a>".iter().any(|byte| value.contains(byte)) {
        assert!(!whole.windows(value.len()).any(|window| window == value));
    }
    let cut = scrubber.scrub_cut(rest);
    let size = data.last().map_or(1, |last| usize::from(*last).max(1));
    for (ends_early, expected) in [(false, whole), (true, cut)] {
        let mut stream = scrubber.stream();
        let mut pieces = Vec::new();
        for piece in rest.chunks(size) {
            stream.push(piece, &mut pieces);
        }
        stream.finish(ends_early, &mut pieces);
        assert_eq!(pieces, expected);
    }
}
