//! Times, as people read them: when something ends, and how far off that is.
//!
//! A component has no clock; it tells when a key ends, and this program compares. In UTC. Not for: how long a run took.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A time as RFC 3339 has it; none where that cannot be read.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// `2026-12-24, 31 d`, `2026-11-24, 20 h`, `2026-11-20, 3 d ago`.
pub(super) fn tell(when: Timestamp, now: Timestamp) -> String {
    let seconds = when.as_second() - now.as_second();
    let far = match seconds.abs() {
        off @ 0..HOUR => format!("{} min", off / 60),
        off if off < 2 * DAY => format!("{} h", off / HOUR),
        off => format!("{} d", off / DAY),
    };
    let ago = if seconds < 0 { " ago" } else { "" };
    format!("{}, {far}{ago}", when.to_zoned(TimeZone::UTC).date())
}

/// Whether that is within so many days from now, or past.
pub(super) fn within(when: Timestamp, now: Timestamp, days: u16) -> bool {
    when.as_second() - now.as_second() <= i64::from(days) * DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        read(text).expect("a time")
    }

    #[test]
    fn a_time_is_told_by_its_day_and_how_far_off_it_is() {
        let now = at("2026-11-23T10:00:00Z");
        for (when, told) in [
            ("2026-12-24T10:00:00Z", "2026-12-24, 31 d"),
            ("2026-11-25T10:00:00Z", "2026-11-25, 2 d"),
            ("2026-11-25T09:59:59Z", "2026-11-25, 47 h"),
            ("2026-11-23T10:30:59.5Z", "2026-11-23, 30 min"),
            ("2026-11-23T10:00:00Z", "2026-11-23, 0 min"),
            ("2026-11-20T09:00:00Z", "2026-11-20, 3 d ago"),
            ("2026-11-24T01:00:00+02:00", "2026-11-23, 13 h"),
        ] {
            assert_eq!(tell(at(when), now), told, "{when}");
        }
        assert_eq!(read("tomorrow"), None);
        assert_eq!(read("2026-13-01T00:00:00Z"), None);
    }

    #[test]
    fn what_ends_on_the_last_of_the_days_or_has_ended_is_within_them() {
        let now = at("2026-11-23T10:00:00Z");
        assert!(within(at("2026-12-23T10:00:00Z"), now, 30));
        assert!(!within(at("2026-12-23T10:00:01Z"), now, 30));
        assert!(within(at("2020-01-01T00:00:00Z"), now, 0));
    }
}
