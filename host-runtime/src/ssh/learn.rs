//! Learning the keys of hosts: what a server shows without anybody logging in, and many keys written at once.
//!
//! A file of `known_hosts` is replaced whole, under its lock: whoever reads it meanwhile sees the old one or the new one.
//! Its mode, its junk lines and its comments stay, and names are hashed where they are hashed there already. Not for:
//! whether a key is to be believed; whoever calls this has found that out.

use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use boundary::known_hosts::{self, HostKey, KeyType, KnownHosts, KnownKey, Verdict};

use super::connection::greet;
use super::error::ConnectError;
use super::target::Target;
use super::trust::{ALGORITHMS, Files, HostKeyError, Trust, key_of, lock, salt};
use crate::until::{Until, Wake};

/// What a server shows of itself, and what the files say of that.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shown {
    /// Its key; of a certificate, the key in it.
    pub key: HostKey,
    /// Why it is not trusted; `None` when it is.
    pub trouble: Option<Box<HostKeyError>>,
}

/// Looks at the key of a server, without logging in: the one that is known, if there is one, or one of this type.
///
/// # Errors
/// When there is no server, or it has no key of that type.
pub fn look(target: &Target, only: Option<KeyType>, trust: Trust, until: &Until) -> Result<Shown, ConnectError> {
    let to = target.to_string();
    let host_key = |error| ConnectError::HostKey { to: to.clone(), error };
    let files = Files::read(target).map_err(host_key)?;
    let algorithms = match only {
        Some(kind) => {
            let of_kind = ALGORITHMS.iter().filter(|name| KeyType::of_algorithm(name) == Some(kind));
            of_kind.copied().collect::<Vec<_>>().join(",")
        }
        None => files.algorithms(),
    };
    let (_link, blob) = greet(target, &algorithms, trust, until)?;
    let key = key_of(&blob).map_err(|reason| host_key(Box::new(HostKeyError::Malformed(reason))))?;
    Ok(Shown { key, trouble: files.check_blob(&blob).err() })
}

/// What the files of a target say of a key that nobody has shown: `None` when it is trusted.
///
/// # Errors
/// When a file cannot be read.
pub fn judge(target: &Target, key: &HostKey) -> Result<Option<Box<HostKeyError>>, Box<HostKeyError>> {
    // What the inventory says is what is to be written; here the files alone count.
    let target = Target { host_keys: Vec::new(), ..target.clone() };
    Ok(Files::read(&target)?.check_blob(key.blob()).err())
}

/// A key that is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    file: PathBuf,
    name: String,
    port: u16,
    hash: bool,
    key: HostKey,
}

impl Entry {
    /// This key for this host, in the first of its files. `None` where it has none, or a name that no line can hold.
    #[must_use]
    pub fn new(target: &Target, key: HostKey) -> Option<Self> {
        let file = target.known_hosts.first()?.clone();
        let (name, port) = target.known_name();
        known_hosts::line(&name, port, &key)?;
        Some(Self { file, name, port, hash: target.hash_known_hosts, key })
    }

    /// The file that it belongs in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Keys that were added.
    pub added: usize,
    /// Lines that were taken away, or lost a name.
    pub replaced: usize,
}

/// Writes keys to the file that all of them belong in. With `replace`, other keys of the same names go.
///
/// # Errors
/// When the file cannot be read or written, or its lock cannot be had in time; then it is as it was. Without `replace`, a
/// name that has another key is such an error, and so is, with it, one that a pattern covers.
pub fn write(file: &Path, entries: &[Entry], replace: bool, until: &Until) -> io::Result<Written> {
    // What stands at the end of a link is replaced, not the link.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut held = match lock(&path, until)? {
        Ok(held) => held,
        Err(Wake::Cancelled) => return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled")),
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else holds its lock")),
    };
    let found = held.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    held.read_to_end(&mut text)?;
    let (text, written) = changed(&text, entries, replace)?;
    if written == Written::default() {
        return Ok(written);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".known_hosts.").tempfile_in(folder)?;
    new.write_all(&text)?;
    new.as_file().set_permissions(Permissions::from_mode(found.mode() & 0o7777))?;
    let own = new.as_file().metadata()?;
    if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
        std::os::unix::fs::fchown(new.as_file(), Some(found.uid()), Some(found.gid()))?;
    }
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|error| error.error)?;
    // The name is on the disk too; where that cannot be asked for, it comes by itself.
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(written)
}

/// The text of a file with these keys in it.
fn changed(text: &[u8], entries: &[Entry], replace: bool) -> io::Result<(Vec<u8>, Written)> {
    let hashes = text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"|1|"));
    let mut lines: Vec<Option<Vec<u8>>> = text.split(|byte| *byte == b'\n').map(|line| Some(line.to_vec())).collect();
    let mut added: Vec<String> = Vec::new();
    let mut written = Written::default();
    let mut known = KnownHosts::default();
    known.add("", text);
    for (index, entry) in entries.iter().enumerate() {
        let Entry { name, port, hash, key, .. } = entry;
        if entries[..index].contains(entry) {
            continue;
        }
        let others: Vec<KnownKey> = match known.host(name, *port).check(key) {
            Verdict::Trusted { .. } => continue,
            Verdict::Unknown { .. } => Vec::new(),
            // Another type of key of the same host is no contradiction, once one of its keys is known to be right.
            Verdict::Changed { known } if known.iter().all(|one| one.key.key_type() != key.key_type()) => Vec::new(),
            Verdict::Changed { known } if replace => known,
            Verdict::Changed { .. } => return Err(io::Error::other(format!("another key is known for {name}"))),
            _ => return Err(io::Error::other(format!("the key of {name} is revoked there"))),
        };
        for other in others {
            let Some(line) = lines.get_mut(other.place.line - 1) else { continue };
            // It went with another host already.
            let Some(old) = line.take() else { continue };
            *line = known_hosts::without(&old, name, *port).map_err(|_| {
                let place = other.place.line;
                io::Error::other(format!("line {place} covers {name} by a pattern: it has to be changed by hand"))
            })?;
            written.replaced += 1;
        }
        let plain = known_hosts::line(name, *port, key);
        let line = if *hash || hashes { known_hosts::hashed_line(name, *port, key, salt()?) } else { plain };
        added.extend(line);
        written.added += 1;
    }
    Ok((whole(&lines, &added), written))
}

/// The lines that are left, and the new ones behind them.
fn whole(lines: &[Option<Vec<u8>>], added: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    // What stands behind the last line end is a line only when there is something.
    let end = lines.len() - usize::from(lines.last().is_some_and(|line| line.as_ref().is_some_and(Vec::is_empty)));
    for line in lines[..end].iter().flatten().map(Vec::as_slice).chain(added.iter().map(String::as_bytes)) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::time::Duration;

    fn key(n: u8) -> HostKey {
        HostKey::from_blob(&[&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[n; 32]].concat()).expect("a key")
    }

    fn entry(name: &str, n: u8) -> Entry {
        Entry { file: PathBuf::new(), name: name.to_owned(), port: 22, hash: false, key: key(n) }
    }

    fn soon() -> Until {
        Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
    }

    #[test]
    fn keys_are_added_once_and_what_stood_there_stays_with_its_mode() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        let before = format!("# mine\n\n%%% junk\nold {}\nlast {}", key(1), key(2));
        fs::write(&file, &before).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let entries = [entry("new", 3), entry("old", 1), entry("new", 3), entry("newer", 4)];
        let written = write(&link, &entries, false, &soon()).expect("written");
        assert_eq!((written.added, written.replaced), (2, 0));
        let wanted = format!("{before}\nnew {}\nnewer {}\n", key(3), key(4));
        assert_eq!(fs::read_to_string(&file).expect("there"), wanted);
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 2, "nothing is left beside it");
        let inode = fs::metadata(&file).expect("there").ino();
        assert_eq!(write(&file, &entries, false, &soon()).expect("nothing to do"), Written::default());
        assert_eq!(fs::metadata(&file).expect("there").ino(), inode, "a file that is right is not touched");
    }

    #[test]
    fn a_file_that_hashes_gets_hashed_names_and_a_new_one_is_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("new/known_hosts");
        write(&file, &[Entry { hash: true, ..entry("a", 1) }], false, &soon()).expect("written");
        write(&file, &[entry("b", 2)], false, &soon()).expect("written");
        let text = fs::read_to_string(&file).expect("there");
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.starts_with("|1|")), "{text}");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
        let mut known = KnownHosts::default();
        known.add("", text.as_bytes());
        assert!(matches!(known.host("b", 22).check(&key(2)), Verdict::Trusted { .. }));
    }

    #[test]
    fn another_key_is_replaced_only_when_that_is_asked_for_and_other_names_of_its_line_stay() {
        let text = format!("# top\na,b {}\n|1|junk\nb {}\n", key(1), key(1));
        let told = changed(text.as_bytes(), &[entry("a", 9)], false).expect_err("another key").to_string();
        assert_eq!(told, "another key is known for a");
        let (new, written) = changed(text.as_bytes(), &[entry("a", 9), entry("b", 8)], true).expect("replaced");
        assert_eq!(String::from_utf8(new).expect("text").lines().next(), Some("# top"));
        assert_eq!((written.added, written.replaced), (2, 3));
        let patterned = format!("a* {}\n", key(1));
        let told = changed(patterned.as_bytes(), &[entry("a", 9)], true).expect_err("a pattern").to_string();
        assert!(told.contains("line 1 covers a by a pattern"), "{told}");
        let revoked = format!("@revoked * {}\n", key(9));
        assert!(changed(revoked.as_bytes(), &[entry("a", 9)], true).is_err());
    }

    #[test]
    fn many_who_write_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        std::thread::scope(|scope| {
            for n in 0..24u8 {
                let file = &file;
                scope.spawn(move || write(file, &[entry(&format!("h{n}"), n)], false, &soon()).expect("written"));
            }
        });
        assert_eq!(fs::read_to_string(&file).expect("there").lines().count(), 24);
        let odd = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &odd, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        assert!(write(&odd, &[entry("a", 1)], false, &soon()).is_err());
    }
}
