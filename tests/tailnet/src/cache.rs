//! What takes long to make and is the same for every lab, kept outside of the clone.
//!
//! An entry's name holds a digest of what it is made from, so that another Go version, another list of packages or an
//! edited server is another entry. It is made in a folder beside its place and moved there when it is whole: what was
//! killed half-way is never used, and is removed by the next one who makes that entry. Not for: what one lab changes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

/// Where the entries are: `$XDG_CACHE_HOME/stagecraft-net/lab`, or below `~/.cache`.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn folder() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| Path::new(dir).is_absolute())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for the lab's cache")?;
    Ok(cache.join("stagecraft-net/lab"))
}

/// The folder `NAME-DIGEST`, made by `make` when it is not there yet. Whoever else wants it meanwhile waits.
///
/// # Errors
/// What `make` says, and when files cannot be written.
pub fn entry(name: &str, made_from: &[&[u8]], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let place = folder.join(format!("{name}-{}", digest(made_from)));
    if place.is_dir() {
        return Ok(place);
    }
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if place.is_dir() {
        return Ok(place);
    }
    let unfinished = folder.join(format!("{name}.new"));
    remove(&unfinished)?;
    fs::create_dir(&unfinished)?;
    eprintln!("lab: making {name}, once for this machine");
    let begin = std::time::Instant::now();
    make(&unfinished).with_context(|| format!("making {name}"))?;
    drop_others(&folder, name, &place);
    fs::rename(&unfinished, &place)?;
    eprintln!("lab: {name} took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(place)
}

/// Removes entries of the same name that were made from something else more than a week ago: another clone may still
/// want a younger one.
fn drop_others(folder: &Path, name: &str, place: &Path) {
    let week = std::time::Duration::from_secs(7 * 24 * 3600);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = path.file_name().and_then(OsStr::to_str).and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        let old = entry
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|then| then.elapsed().is_ok_and(|age| age > week));
        if old
            && path != place
            && ours.is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            let _ = remove(&path);
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_parts_apart_that_are_the_same_when_joined() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"ab"]).len(), 16);
    }
}
