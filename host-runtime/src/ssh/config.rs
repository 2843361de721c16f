//! What `ssh -G` says of a host, and the tokens in it.
//!
//! OpenSSH itself reads the user's files (`Include`, `Match`, patterns, defaults); this reads its answer: one option a
//! line, in lower case. Not for: reading `ssh_config` files.

use std::path::{Path, PathBuf};

/// The answer of `ssh -G`: options in the order in which they stand.
#[derive(Debug, Default)]
pub(super) struct Dump(Vec<(String, String)>);

impl Dump {
    pub(super) fn parse(text: &str) -> Self {
        let options = text.lines().filter_map(|line| line.split_once(' '));
        Self(options.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect())
    }

    /// The value of an option that is set to something; `none` is OpenSSH's word for nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.set().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of an option that may stand more than once.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.set().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn set(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter().filter(|(_, value)| !value.is_empty() && value != "none")
    }

    /// Whether an option is there at all, be it `none`.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_yes(&self, name: &str) -> bool {
        matches!(self.get(name), Some("yes" | "true"))
    }

    /// A list of files on one line. OpenSSH prints a path that holds spaces without quotes, so a word that begins like
    /// no path belongs to the one before it.
    pub(super) fn files(&self, name: &str) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        for word in self.get(name).unwrap_or_default().split(' ') {
            match files.last_mut() {
                Some(last) if !word.starts_with(['/', '~', '.', '%']) => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => files.push(word.to_owned()),
            }
        }
        files.retain(|file| !file.is_empty() && file != "none");
        files
    }
}

/// What the tokens of `ssh_config` stand for, for one host.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub(super) home: Option<&'a Path>,
    /// `%n`: the name as it was given.
    pub(super) name: &'a str,
    /// `%h`
    pub(super) host: &'a str,
    /// `%k`
    pub(super) key_alias: &'a str,
    /// `%p`
    pub(super) port: u16,
    /// `%r`
    pub(super) user: &'a str,
    /// `%u`
    pub(super) local_user: &'a str,
}

impl Tokens<'_> {
    /// Replaces `%h` and its like; a token that is not known here stays as it is.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            if char != '%' {
                expanded.push(char);
                continue;
            }
            match rest.next() {
                Some('%') => expanded.push('%'),
                Some('d') => expanded.push_str(&self.home.unwrap_or(Path::new("~")).to_string_lossy()),
                Some('h') => expanded.push_str(self.host),
                Some('i') => expanded.push_str(&rustix::process::getuid().as_raw().to_string()),
                Some('k') => expanded.push_str(self.key_alias),
                Some('n') => expanded.push_str(self.name),
                Some('p') => expanded.push_str(&self.port.to_string()),
                Some('r') => expanded.push_str(self.user),
                Some('u') => expanded.push_str(self.local_user),
                Some(other) => expanded.extend(['%', other]),
                None => expanded.push('%'),
            }
        }
        expanded
    }

    /// A file's name: tokens and `~/`.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let text = self.expand(text);
        match (text.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_none_is_nothing() {
        let dump = Dump::parse(
            "host a\nuser me\nidentityfile ~/.ssh/a\nidentityfile ~/.ssh/b\nidentityagent none\nproxycommand nc %h %p\n\
             identitiesonly yes\nuserknownhostsfile /home/ada/.ssh/known_hosts /tmp/with space/kh\nglobalknownhostsfile none\n",
        );
        assert_eq!(dump.get("user"), Some("me"));
        assert_eq!(dump.get("identityagent"), None);
        assert_eq!(dump.get("proxycommand"), Some("nc %h %p"));
        assert_eq!(dump.all("identityfile").collect::<Vec<_>>(), ["~/.ssh/a", "~/.ssh/b"]);
        assert!(dump.is_yes("identitiesonly") && !dump.is_yes("hashknownhosts"));
        assert_eq!(dump.files("userknownhostsfile"), ["/home/ada/.ssh/known_hosts", "/tmp/with space/kh"]);
        assert!(dump.files("globalknownhostsfile").is_empty());
    }

    #[test]
    fn tokens_stand_for_this_host_and_what_is_no_token_stays() {
        let tokens = Tokens {
            home: Some(Path::new("/home/me")),
            name: "app-1",
            host: "10.0.0.1",
            key_alias: "app",
            port: 2222,
            user: "root",
            local_user: "me",
        };
        assert_eq!(tokens.expand("nc %h %p %r %n %u %k 100%% %q %"), "nc 10.0.0.1 2222 root app-1 me app 100% %q %");
        assert_eq!(tokens.path("~/.ssh/%n"), Path::new("/home/me/.ssh/app-1"));
        assert_eq!(tokens.path("%d/x"), Path::new("/home/me/x"));
        assert_eq!(tokens.path("/a~/b"), Path::new("/a~/b"));
    }
}
