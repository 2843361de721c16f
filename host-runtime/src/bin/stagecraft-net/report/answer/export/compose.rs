//! An override file for Docker Compose: `docker compose -f compose.yml -f tailnet.yml up`.
//!
//! The addresses stand in it, since a container on a bridge asks Docker's own resolver, which often does not know the
//! network's names. A name stands once, with its IPv4 address where there is one: few bridges have IPv6.

use std::fmt::Write as _;

use super::Member;

/// For these services, each of which is a name that Compose knows: letters, digits, dots, dashes and underscores.
pub(super) fn write(members: &[Member<'_>], services: &[String]) -> String {
    let mut text = "services:\n".to_owned();
    for service in services {
        let _ = writeln!(text, "  {service:?}:\n    extra_hosts:{}", if members.is_empty() { " []" } else { "" });
        for member in members {
            if let Some(address) = member.v4().or_else(|| member.v6()) {
                let _ = writeln!(text, "      - \"{}={address}\"", member.fqdn);
            }
        }
    }
    text
}
