//! A file to `Include` in an ssh_config: each host under its name here, reached through the network.
//!
//! The host key is checked under the name that it is known by already, so that nobody has to trust it anew. What the
//! project does not say, such as the user of a host that is an alias, is left to the reader's own ssh_config.

use std::fmt::Write as _;
use std::path::Path;

use super::Member;

pub(super) fn write(members: &[Member<'_>]) -> String {
    let mut text = "# Include this before other Host blocks: ssh takes the first value that it finds.\n".to_owned();
    for member in members {
        let _ = writeln!(text, "\nHost {}", member.name());
        for (key, value) in lines(member) {
            let _ = writeln!(text, "  {key} {}", quoted(&value));
        }
    }
    text
}

/// Why a host cannot be said in this format.
pub(super) fn refused(member: &Member<'_>) -> Option<String> {
    let odd = |value: &str| value.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '$'));
    let (key, _) = lines(member).into_iter().find(|(_, value)| odd(value))?;
    Some(format!("its {key} holds a character that an ssh_config cannot say safely"))
}

fn lines(member: &Member<'_>) -> Vec<(&'static str, String)> {
    let spec = member.spec;
    let mut lines = vec![("HostName", member.fqdn.to_owned())];
    let mut line = |key, value: Option<String>| lines.extend(value.map(|value| (key, value)));
    line("User", spec.user.clone());
    line("Port", spec.port.map(|port| port.to_string()));
    line(
        "HostKeyAlias",
        spec.address.as_ref().map(|address| match spec.port {
            None | Some(22) => address.clone(),
            // As `known_hosts` has it.
            Some(port) => format!("[{address}]:{port}"),
        }),
    );
    line("IdentityFile", spec.private_key.as_deref().map(path));
    line("UserKnownHostsFile", spec.known_hosts.as_deref().map(path));
    lines
}

/// A path from anywhere, with its percent signs kept from being tokens.
fn path(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().replace('%', "%%")
}

/// A value, in quotes where a blank, a comment's sign or nothing at all stands in it.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "/._-+:@%~[]".contains(c));
    if plain { value.to_owned() } else { format!("\"{value}\"") }
}
