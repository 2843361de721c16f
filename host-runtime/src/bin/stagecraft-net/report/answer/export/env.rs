//! `NAME=value` lines. No value needs quotes: a shell that sources them and `docker --env-file`, which takes quotes
//! literally, read the same.

use std::fmt::Write as _;

use super::Member;

pub(super) fn write(members: &[Member<'_>]) -> String {
    let mut text = String::new();
    let names: Vec<&str> = members.iter().map(Member::name).collect();
    let _ = writeln!(text, "STAGECRAFT_NET_HOSTS={}", names.join(","));
    for member in members {
        // A DNS label has no underscore, so no two of them become one name.
        let name = member.name().to_ascii_uppercase().replace('-', "_");
        let _ = writeln!(text, "STAGECRAFT_NET_{name}_FQDN={}", member.fqdn);
        for (kind, address) in [("IPV4", member.v4()), ("IPV6", member.v6())] {
            if let Some(address) = address {
                let _ = writeln!(text, "STAGECRAFT_NET_{name}_{kind}={address}");
            }
        }
    }
    text
}
