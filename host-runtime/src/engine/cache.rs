//! Compiled code on disk, so that nothing compiles twice on a machine.
//!
//! The code is native code, so the folder is as private as a key: it must be ours with mode 0700, its entries ours and
//! closed to others, or there is no cache. An entry carries a checksum of its own name and content; what is torn, stale,
//! foreign or unreadable is a miss and never an error. Only this process writes here, never the compiler's own.
//! A digest, keyed or not, would guard against nobody: who can write here as us can make one, and trace this process. It
//! would only take longer at each start, most where the processor has no instructions for it.
//! Not for: code from elsewhere, which is refused where artifacts are read.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};
use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_128;

use crate::artifact::Digest;

/// What an entry begins with: the version of this format.
const MAGIC: &[u8; 8] = b"scnaot2\n";

/// Tells an entry that was cut short or changed by accident.
type Seal = [u8; 16];

/// How many entries are kept, the most recently written ones.
const KEPT: usize = 32;

/// The user's own folder for it: `stagecraft-net/code` in `$XDG_CACHE_HOME`, or in `~/.cache`. `None` where the user has
/// no home.
#[must_use]
pub fn user_dir() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .and_then(absolute)
        .or_else(|| std::env::home_dir().and_then(absolute).map(|home| home.join(".cache")))?;
    Some(cache.join("stagecraft-net/code"))
}

/// The name of an entry: what was compiled, by which compiler with which settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(artifact: &Digest, engine: &wasmtime::Engine) -> Self {
        /// Feeds a whole SHA-256 with what would make a 64-bit hash.
        struct Feed(Sha256);
        impl Hasher for Feed {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut feed = Feed(Sha256::new_with_prefix(artifact.as_bytes()));
        engine.precompile_compatibility_hash().hash(&mut feed);
        Self(feed.0.finalize().into())
    }

    fn name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The checksum that an entry with this code carries.
    fn seal(&self, code: &[u8]) -> Seal {
        let mut name = [0; 8];
        name.copy_from_slice(&self.0[..8]);
        XxHash3_128::oneshot_with_seed(u64::from_le_bytes(name), code).to_le_bytes()
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    path: PathBuf,
}

impl Cache {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The code of that name, if there is a sound entry.
    pub(super) fn get(&self, key: &Key, limit: usize) -> Option<Vec<u8>> {
        let dir = private_dir(&self.path).ok()?;
        let file = openat(
            &dir,
            key.name(),
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .ok()?;
        let size = ours(&file, FileType::RegularFile).ok()?;
        let mut entry = Vec::with_capacity(usize::try_from(size).ok()?.min(limit));
        File::from(file).take(limit as u64 + 1024).read_to_end(&mut entry).ok()?;
        let (seal, code) = entry.strip_prefix(MAGIC)?.split_first_chunk::<{ size_of::<Seal>() }>()?;
        if *seal != key.seal(code) {
            return None;
        }
        entry.drain(..MAGIC.len() + size_of::<Seal>());
        Some(entry)
    }

    /// Keeps code under that name. Best effort: a cache that cannot be written is no cache.
    pub(super) fn put(&self, key: &Key, code: &[u8]) {
        let _ = self.try_put(key, code);
    }

    fn try_put(&self, key: &Key, code: &[u8]) -> std::io::Result<()> {
        static WRITES: AtomicU32 = AtomicU32::new(0);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let dir = private_dir(&self.path)?;
        let part = format!("part.{}.{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&dir, &part, flags, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(&key.seal(code)))
            .and_then(|()| file.write_all(code))
            .and_then(|()| Ok(renameat(&dir, &part, &dir, key.name())?));
        if written.is_err() {
            let _ = unlinkat(&dir, &part, AtFlags::empty());
        }
        prune(&dir)?;
        written
    }
}

/// Opens the folder, if it is ours and closed to everybody else.
fn private_dir(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty())?;
    ours(&dir, FileType::Directory)?;
    Ok(dir)
}

/// The size of something that is of that type, ours, and closed to everybody else.
fn ours(fd: impl AsFd, kind: FileType) -> std::io::Result<u64> {
    let stat = fstat(fd)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let open = mode.intersects(Mode::RWXG | Mode::RWXO);
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_uid != rustix::process::geteuid().as_raw() || open {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    Ok(stat.st_size.unsigned_abs())
}

/// Removes the oldest entries above [`KEPT`], and what a writer that died has left.
fn prune(dir: &OwnedFd) -> std::io::Result<()> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::new(entry.file_name().to_str().unwrap_or_default()).to_owned();
        if let Ok(stat) = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        {
            entries.push(((stat.st_mtime, stat.st_mtime_nsec), name));
        }
    }
    entries.sort_unstable();
    for (_, name) in entries.iter().rev().skip(KEPT) {
        let _ = unlinkat(dir, name, AtFlags::empty());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn key(byte: u8) -> Key {
        Key([byte; 32])
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let home = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(home.path().join("a/code"));
        (home, cache)
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn what_was_put_is_got_and_the_folder_is_private() {
        let (_home, cache) = cache();
        assert_eq!(cache.get(&key(1), LIMIT), None, "no folder is a miss");
        cache.put(&key(1), b"code");
        assert_eq!(cache.get(&key(1), LIMIT).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&key(2), LIMIT), None);
        let mode = |path: &Path| std::fs::metadata(path).expect("stat").permissions().mode() & 0o7777;
        assert_eq!(mode(&cache.path), 0o700);
        assert_eq!(mode(&cache.path.join(key(1).name())), 0o600);
    }

    #[test]
    fn a_torn_changed_renamed_or_too_large_entry_is_a_miss() {
        let (_home, cache) = cache();
        cache.put(&key(1), b"some code");
        let path = cache.path.join(key(1).name());
        let whole = std::fs::read(&path).expect("the entry");
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("write");
            assert_eq!(cache.get(&key(1), LIMIT), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).expect("write");
            assert_eq!(cache.get(&key(1), LIMIT), None, "changed at {at}");
        }
        std::fs::write(cache.path.join(key(2).name()), &whole).expect("write");
        chmod(&cache.path.join(key(2).name()), 0o600);
        assert_eq!(cache.get(&key(2), LIMIT), None, "another's content");
        cache.put(&key(3), &vec![0; 5000]);
        assert_eq!(cache.get(&key(3), 100), None, "more than the limit");
        cache.put(&key(1), b"some code");
        assert!(cache.get(&key(1), LIMIT).is_some(), "a new entry takes the place of the torn one");
    }

    #[test]
    fn what_others_could_have_written_is_not_read_nor_written() {
        let (home, cache) = cache();
        cache.put(&key(1), b"code");
        let entry = cache.path.join(key(1).name());
        chmod(&entry, 0o640);
        assert_eq!(cache.get(&key(1), LIMIT), None, "an entry that a group may read");
        chmod(&entry, 0o600);
        chmod(&cache.path, 0o750);
        assert_eq!(cache.get(&key(1), LIMIT), None, "a folder that a group may read");
        cache.put(&key(2), b"code");
        chmod(&cache.path, 0o700);
        assert_eq!(cache.get(&key(2), LIMIT), None, "nothing was written into it");

        let moved = home.path().join("moved");
        std::fs::rename(&entry, &moved).expect("rename");
        symlink(&moved, &entry).expect("symlink");
        assert_eq!(cache.get(&key(1), LIMIT), None, "a link");
        let link = Cache::new(home.path().join("link"));
        symlink(&cache.path, &link.path).expect("symlink");
        cache.put(&key(1), b"code");
        assert_eq!(link.get(&key(1), LIMIT), None, "a folder behind a link");
    }

    #[test]
    fn the_oldest_entries_and_leftovers_go() {
        let (_home, cache) = cache();
        cache.put(&key(0), b"code");
        std::fs::write(cache.path.join("part.1.1"), b"left").expect("write");
        for byte in 1..=u8::try_from(KEPT).expect("small") {
            cache.put(&key(byte), b"code");
        }
        assert_eq!(std::fs::read_dir(&cache.path).expect("the folder").count(), KEPT);
        assert_eq!(cache.get(&key(0), LIMIT), None);
        assert!(cache.get(&key(u8::try_from(KEPT).expect("small")), LIMIT).is_some());
    }
}
