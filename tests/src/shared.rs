//! A value in a JSON file that several processes change: a machine, the world around all machines.
//!
//! Whoever looks or changes holds a lock of the file for that moment, and a change is written beside it and moved into
//! place, so that nobody ever reads half of one. Not for: values that are changed often; each change costs a write.

use std::fs::{self, File};
use std::io::Write;
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The place of such a value.
#[derive(Debug)]
pub struct Shared<T> {
    path: PathBuf,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self::at(&self.path)
    }
}

impl<T> Shared<T> {
    /// The one at `path`, which is made by [`Shared::create`].
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), of: PhantomData }
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<T: Serialize + DeserializeOwned> Shared<T> {
    /// Writes `value` to `path`; from then on it is shared, with every user of the machine who can reach the path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, value: &T) -> Result<Self> {
        let this = Self::at(path);
        let lock = File::create(this.lock_path()).with_context(|| path.display().to_string())?;
        lock.set_permissions(fs::Permissions::from_mode(0o666))?;
        this.write(&serde_json::to_vec_pretty(value)?)?;
        Ok(this)
    }

    /// What it is now.
    ///
    /// # Errors
    /// When it is not there, or is no such value.
    pub fn get(&self) -> Result<T> {
        let _held = self.lock()?;
        self.parse(&self.text()?)
    }

    /// Changes it. Nothing is written when it stays as it was.
    ///
    /// # Errors
    /// As [`Shared::get`], and when it cannot be written.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let _held = self.lock()?;
        let text = self.text()?;
        let mut value = self.parse(&text)?;
        let answer = change(&mut value);
        let new = serde_json::to_vec_pretty(&value)?;
        if new != text {
            self.write(&new)?;
        }
        Ok(answer)
    }

    /// Held until the answer is dropped, by one holder at a time.
    fn lock(&self) -> Result<File> {
        let path = self.lock_path();
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    fn text(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).with_context(|| self.path.display().to_string())
    }

    fn parse(&self, text: &[u8]) -> Result<T> {
        serde_json::from_slice(text).with_context(|| self.path.display().to_string())
    }

    fn write(&self, text: &[u8]) -> Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).with_context(|| new.display().to_string())?;
        file.set_permissions(fs::Permissions::from_mode(0o666))?;
        file.write_all(text)?;
        fs::rename(&new, &self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_from_many_threads_are_all_kept_and_nobody_reads_half_of_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let counter = Shared::create(&dir.path().join("counter.json"), &vec![0u32; 500]).expect("written");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        counter.update(|values| values.iter_mut().for_each(|value| *value += 1)).expect("updated");
                        counter.get().expect("whole");
                    }
                });
            }
        });
        assert_eq!(counter.get().expect("read"), vec![160u32; 500]);
    }
}
