//! Names that may stand on a command line: hosts, users, jump hosts.
//!
//! `ssh` takes them as arguments and a `ProxyCommand` as shell text, so what could be an option or shell is refused.
//! Not for: whether such a host or user exists.

use std::fmt;

use super::target::ResolveError;

/// One host of `ProxyJump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Hop {
    /// `[user@]host[:port]`, an IPv6 address in brackets, or the same behind `ssh://`.
    pub(super) fn parse(text: &str) -> Result<Self, ResolveError> {
        let text = text.trim();
        let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user_name(user)?.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => match rest.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (rest, None),
            },
        };
        let host = host_name("jump host", host)?.to_owned();
        let port = match port.map(str::parse) {
            Some(Err(_)) => return Err(ResolveError::HostName { what: "jump host", found: text.to_owned() }),
            Some(Ok(port)) => Some(port),
            None => None,
        };
        Ok(Self { user, host, port })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) => f.write_str(&place(&self.host, port)),
            None if self.host.contains(':') => write!(f, "[{}]", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Refuses what could be taken for an option or, in a `ProxyCommand`, for shell. `%` stands before an IPv6 zone.
pub(super) fn host_name<'a>(what: &'static str, text: &'a str) -> Result<&'a str, ResolveError> {
    let fits = |char: char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_' | ':' | '%');
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err(ResolveError::HostName { what, found: text.to_owned() });
    }
    Ok(text)
}

pub(super) fn user_name(text: &str) -> Result<&str, ResolveError> {
    let fits = |char: char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_' | '@' | '+');
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err(ResolveError::User { found: text.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_in_every_form_and_written_in_one() {
        for (text, written) in [
            ("bastion", "bastion"),
            (" u@bastion:23 ", "u@bastion:23"),
            ("ssh://u@bastion:23/", "u@bastion:23"),
            ("me@corp.example@bastion", "me@corp.example@bastion"),
            ("[fe80::1]:24", "[fe80::1]:24"),
            ("fe80::1", "[fe80::1]"),
        ] {
            assert_eq!(Hop::parse(text).map(|hop| hop.to_string()).as_deref(), Ok(written), "{text}");
        }
        for bad in ["", "-x", "u@-x", "-l@bastion", "bastion:x", "bastion:99999", "a b", "[::1", "a;b"] {
            assert!(Hop::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_names_pass() {
        for good in ["app-1", "10.0.0.1", "fe80::1%eth0", "host_1.example.com", "bücher.example"] {
            assert_eq!(host_name("name", good), Ok(good));
        }
        for good in ["root", "first.last", "svc-a_1", "me@corp.example"] {
            assert_eq!(user_name(good), Ok(good));
        }
    }
}
