//! What one release does differently from another, as it was seen with client and daemon of that release.
//!
//! Not for: reading versions as the provider does; the two must not share a parser, or one mistake hides the other.

use std::fmt;

/// `MAJOR.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u32, u32, u32);

impl Release {
    /// The release that most of the recordings are of.
    pub const NEWEST: Self = Self(1, 102, 3);

    /// Reads `1.102.3`, with whatever follows a dash left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').next()?.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Some(Self(major, minor, patch)),
            _ => None,
        }
    }

    fn before(self, minor: u32) -> bool {
        (self.0, self.1) < (1, minor)
    }

    /// `HaveNodeKey` stands in the status.
    pub(crate) fn says_node_key(self) -> bool {
        !self.before(66)
    }

    /// Health is told in codes, and is null when there is nothing to tell.
    pub(crate) fn old_health(self) -> bool {
        self.before(70)
    }

    /// `RouteAll` of a daemon that never logged in: nobody set it.
    pub(crate) fn accepts_routes_when_fresh(self) -> bool {
        self.before(84)
    }

    /// A refused key costs the node its network map: `NoState`, no tailnet, no tags.
    pub(crate) fn loses_netmap_after_bad_key(self) -> bool {
        self.before(82)
    }

    /// `up --force-reauth` with a refused key exits 0.
    pub(crate) fn lies_after_reauth(self) -> bool {
        !self.before(82) && self.before(90)
    }

    /// A log-out that was cut off takes the key out of the daemon's memory, so that the next one finds none; a restart
    /// reads it from disk again. Seen on 1.80.3 and 1.86.5, not on 1.102.3.
    pub(crate) fn forgets_its_key_in_a_cut_log_out(self) -> bool {
        self.before(90)
    }

    /// The name of the posture flag of `up`.
    pub(crate) fn posture_flag(self) -> Option<&'static str> {
        if self.before(80) {
            None
        } else if self.before(84) {
            Some("posture-checking")
        } else {
            Some("report-posture")
        }
    }

    /// `NoStatefulFiltering` is a preference, and `--stateful-filtering` a flag.
    pub(crate) fn filters_statefully(self) -> bool {
        !self.before(66)
    }

    /// `Self.NodeID` and `ExtraRecords` stand in the status, `RemoteConfig` in the preferences.
    pub(crate) fn newest_fields(self) -> bool {
        !self.before(98)
    }

    /// `Self.PeerRelay` and the fields of Taildrop stand in the status.
    pub(crate) fn has_peer_relays(self) -> bool {
        !self.before(84)
    }

    /// `Sync` stands in the preferences.
    pub(crate) fn has_sync(self) -> bool {
        !self.before(90)
    }

    /// `AdvertiseServices` stands in the preferences.
    pub(crate) fn has_services(self) -> bool {
        !self.before(78)
    }

    /// Releases this old are refused by Headscale.
    pub(crate) fn too_old_for_headscale(self) -> bool {
        self.before(80)
    }

    /// `version` prints a `long version:` line.
    pub(crate) fn says_long_version(self) -> bool {
        !self.before(82)
    }

    /// The default `ControlURL`, and not an empty one, may stand in the preferences right after a log-out.
    pub(crate) fn may_keep_control_after_logout(self) -> bool {
        self.before(82)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
