//! Keys and fingerprints in any text that people have: a cloud's console log, `ssh-keygen -l`, `ssh-keyscan`, a list.
//!
//! cloud-init prints both between `BEGIN SSH HOST KEY FINGERPRINTS` and `BEGIN SSH HOST KEY KEYS`, with whatever a console
//! puts in front of a line. Not for: deciding whose they are; a line only says what it calls them.

use super::{HostKey, KeyType, Pin};

/// A key or a fingerprint, and what its line calls the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What stands in front of it, and behind the `@` of its comment, in lower case.
    pub names: Vec<String>,
    /// It.
    pub pin: Pin,
}

impl Named {
    /// Whether the line calls a host so: by its name, or by a longer one that begins with it.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|own| *own == name || own.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')))
    }
}

/// All that a text holds, in its order. Lines without one are passed over.
#[must_use]
pub fn pins(text: &[u8]) -> Vec<Named> {
    text.split(|byte| *byte == b'\n').filter_map(|line| named(&String::from_utf8_lossy(line))).collect()
}

fn named(line: &str) -> Option<Named> {
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let (at, pin, behind) = words.iter().enumerate().find_map(|(at, word)| {
        if word.starts_with("SHA256:") {
            return Some((at, Pin::parse(word)?, at + 1));
        }
        KeyType::of_algorithm(word)?;
        let key = HostKey::from_text(format!("{word} {}", words.get(at + 1)?).as_bytes())?;
        Some((at, Pin::Key(key), at + 2))
    })?;
    let mut names = Vec::new();
    // The number of bits, or what a console puts in front, is no name.
    if let Some(before) = at.checked_sub(1).and_then(|before| words.get(before))
        && !before.ends_with(':')
        && !before.chars().all(|c| c.is_ascii_digit())
        && !before.starts_with('|')
    {
        let bare = |name: &str| {
            name.strip_prefix('[')
                .and_then(|name| name.split_once(']'))
                .map_or(name.to_owned(), |(name, _)| name.to_owned())
        };
        names.extend(before.split(',').map(bare));
    }
    names.extend(words.get(behind).and_then(|comment| comment.rsplit_once('@')).map(|(_, host)| host.to_owned()));
    Some(Named { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect(), pin })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q";

    #[test]
    fn a_console_log_of_cloud_init_holds_its_fingerprints_and_keys() {
        let print = Pin::parse(KEY).expect("a key").fingerprint();
        let text = format!(
            "[   41.207] cloud-init[812]: Generating public/private ed25519 key pair.\r\n\
             <14>Nov 23 10:00:00 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n\
             <14>Nov 23 10:00:00 cloud-init: 256 {print} root@app-1 (ED25519)\r\n\
             <14>Nov 23 10:00:00 cloud-init: 1024 MD5:00:11 root@app-1 (DSA)\r\n\
             -----END SSH HOST KEY FINGERPRINTS-----\r\n\
             -----BEGIN SSH HOST KEY KEYS-----\r\n\
             ci-info: {KEY} root@app-1.example.com\r\n\
             ecdsa-sha2-nistp256 AAAAbroken root@app-1\r\n\
             -----END SSH HOST KEY KEYS-----\r\n"
        );
        let found = pins(text.as_bytes());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].pin, Pin::parse(&print).expect("a fingerprint"));
        assert_eq!(found[1].pin, Pin::parse(KEY).expect("a key"));
        assert!(found.iter().all(|one| one.is_of("app-1") && one.is_of("APP-1")), "{found:?}");
        assert!(found.iter().all(|one| !one.is_of("app") && !one.is_of("root")), "{found:?}");
    }

    #[test]
    fn lists_and_the_output_of_ssh_keyscan_name_the_host_in_front() {
        let print = Pin::parse(KEY).expect("a key").fingerprint();
        for (line, names) in [
            (format!("db-1 {print}"), &["db-1"][..]),
            (format!("10.0.0.7 {KEY}"), &["10.0.0.7"]),
            (format!("DB-1,[10.0.0.7]:22 {KEY} me@laptop"), &["db-1", "10.0.0.7", "laptop"]),
            (print.clone(), &[]),
            (KEY.to_owned(), &[]),
            (format!("|1|c2E=|aGE= {KEY}"), &[]),
        ] {
            let found = pins(line.as_bytes());
            assert_eq!(
                (found.len(), found[0].names.as_slice()),
                (1, &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
        assert_eq!(pins(b"# nothing\nSHA256:short x\n\xff\xfe\n"), []);
    }
}
