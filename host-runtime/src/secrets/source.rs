//! Where an operator says that a secret is to be had: `env:NAME`, `file:PATH`, `cmd:PROGRAM ARGUMENTS` or `fd:N`.
//!
//! A source is a description; [`Source::read`] is what costs something, and is called once and only when a value is
//! needed. No message holds what was read, nor what stands in place of a name: a key may have been put there by mistake.
//! Not for: who may have the value ([`super::Vault`]).

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use boundary::scrub::MAX_SECRET;
use boundary::text;
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::program;
use crate::until::{Until, Wake};

/// How long a program, or whoever writes to a pipe, may take to hand a secret over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a secret is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A variable of this process's environment.
    Env(String),
    /// A file, or a pipe with a name.
    File(PathBuf),
    /// What a program prints. It is started without a shell, and has no terminal to ask on.
    Command(Vec<String>),
    /// A descriptor that this process was started with.
    Descriptor(u32),
}

/// Why a text names no source. Never holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSource {
    /// It has another form, and may be the secret itself.
    #[error("it names no source, and is not shown since it may be the secret itself")]
    Form,
    /// What stands behind `env:` is no name.
    #[error("what stands behind env: is no name of a variable, and is not shown since it may be the secret itself")]
    Name,
    /// What stands behind `fd:` is no descriptor that can be read.
    #[error("what stands behind fd: is no number of a descriptor that can be read: 0, or 3 and above")]
    Number,
    /// What stands behind `cmd:` is no command line.
    #[error("what stands behind cmd: is no program with its arguments: it is empty, or a quote is not closed")]
    Words,
    /// Nothing stands behind `file:`.
    #[error("nothing stands behind file:")]
    Path,
}

impl Source {
    /// Reads `env:NAME`, `file:PATH`, `cmd:PROGRAM ARGUMENTS` (blanks part words, quotes hold them together) or `fd:N`.
    ///
    /// # Errors
    /// See [`NoSource`].
    pub fn parse(text: &str) -> Result<Self, NoSource> {
        let (kind, rest) = text.split_once(':').ok_or(NoSource::Form)?;
        match kind {
            "env" => {
                let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let fits =
                    rest.chars().all(part) && !rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.is_empty();
                if fits { Ok(Self::Env(rest.to_owned())) } else { Err(NoSource::Name) }
            }
            "file" if rest.is_empty() => Err(NoSource::Path),
            "file" => Ok(Self::File(home(rest))),
            "cmd" => words(rest).filter(|words| !words.is_empty()).map(Self::Command).ok_or(NoSource::Words),
            "fd" => match rest.parse() {
                Ok(number) if number == 0 || number > 2 => Ok(Self::Descriptor(number)),
                _ => Err(NoSource::Number),
            },
            _ => Err(NoSource::Form),
        }
    }

    /// Whether others on this machine may read the file: worth a word. `None` where there is nothing to say.
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        let Self::File(path) = self else { return None };
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        (found.mode() & 0o004 != 0).then_some(found.mode() & 0o777)
    }

    /// The value, without the line end behind it.
    ///
    /// # Errors
    /// Why there is none, in words that hold nothing of it. What takes longer than `until`, or a minute, is one.
    pub fn read(&self, until: &Until) -> Result<Zeroizing<Vec<u8>>, String> {
        let until = until.sooner(PATIENCE);
        let mut value = match self {
            Self::Env(name) => {
                use std::os::unix::ffi::OsStringExt as _;
                let value = std::env::var_os(name).ok_or_else(|| format!("the variable {name} is not set"))?;
                Zeroizing::new(value.into_vec())
            }
            Self::File(path) => {
                let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
                let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
                file.and_then(|file| drain(file, &until)).map_err(|error| format!("{self}: {}", plain(&error)))?
            }
            Self::Descriptor(number) => {
                // Opened anew, so that this process's own descriptor stays as it is.
                let file = File::open(format!("/proc/self/fd/{number}"));
                file.and_then(|file| drain(file, &until)).map_err(|error| format!("{self}: {}", plain(&error)))?
            }
            Self::Command(words) => run(words, &until)?,
        };
        let ends = [b"\n".as_slice(), b"\r"]
            .iter()
            .fold(value.len(), |end, line_end| end - usize::from(value[..end].ends_with(line_end)));
        value.truncate(ends);
        if value.is_empty() { Err(format!("{self} is empty")) } else { Ok(value) }
    }
}

/// For messages: a command by its program alone, since an argument may be telling.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Command(words) => {
                write!(f, "what `{}` prints", text::one_line(words.first().map_or("", String::as_str)))
            }
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
        }
    }
}

fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("nothing came within {} s", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

/// All of it, by the clock.
fn drain(mut file: File, until: &Until) -> io::Result<Zeroizing<Vec<u8>>> {
    // One more than there may be, and room for it, so that no copy stays behind.
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 2));
    loop {
        if until.wait(file.as_fd(), PollFlags::IN)? != Wake::Ready {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut piece = Zeroizing::new([0; 4096]);
        match file.read(piece.as_mut_slice()) {
            Ok(0) => return Ok(value),
            Ok(read) if value.len() + read > MAX_SECRET + 1 => {
                return Err(io::Error::other(format!("it holds more than {MAX_SECRET} bytes")));
            }
            Ok(read) => value.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

fn run(words: &[String], until: &Until) -> Result<Zeroizing<Vec<u8>>, String> {
    let name = text::one_line(words.first().map_or("", String::as_str));
    let (program, arguments) = words.split_first().ok_or("there is no program to run")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let answer = program::ask(&mut command, MAX_SECRET + 2, until).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no program `{name}`"),
        io::ErrorKind::TimedOut => format!(
            "`{name}` did not end within {} s; it is given no terminal, and cannot ask anybody",
            PATIENCE.as_secs()
        ),
        _ => format!("`{name}`: {error}"),
    })?;
    let value = Zeroizing::new(answer.stdout);
    if !answer.status.success() {
        let said = text::bounded(&text::one_line(text::last_lines(&text::printable(&answer.stderr), 2)), 200);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        return Err(format!("`{name}` ended with {}{said}", answer.status));
    }
    Ok(value)
}

/// Words parted by blanks; single and double quotes hold blanks together, and a backslash takes the next character as it
/// stands, except within single quotes. `None` where a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    fn soon(limit: Duration) -> Until {
        Until::after(limit, &Cancel::new().expect("an eventfd"))
    }

    fn read(text: &str) -> Result<String, String> {
        let value = Source::parse(text).expect("a source").read(&soon(Duration::from_secs(30)))?;
        Ok(String::from_utf8(value.to_vec()).expect("text"))
    }

    #[test]
    fn each_source_gives_its_value_without_the_line_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("key");
        std::fs::write(&file, "from a file \r\n").expect("written");
        assert_eq!(read(&format!("file:{}", file.display())).as_deref(), Ok("from a file "));
        assert_eq!(read("cmd:printf '%s-%s\\n' \"a b\" c\\ d").as_deref(), Ok("a b-c d"));
        let (ours, mut theirs) = io::pipe().expect("a pipe");
        theirs.write_all(b"from a pipe\n").expect("written");
        drop(theirs);
        assert_eq!(read(&format!("fd:{}", ours.as_raw_fd())).as_deref(), Ok("from a pipe"));
        assert!(read("env:PATH").is_ok_and(|path| path.contains("bin")));
    }

    #[test]
    fn what_is_not_there_is_told_and_what_is_empty_is_not_there() {
        for (source, text) in [
            ("env:NO_SUCH_VARIABLE_HERE", "NO_SUCH_VARIABLE_HERE is not set"),
            ("file:/nowhere/key", "No such file"),
            ("file:/dev/null", "is empty"),
            ("file:/dev/zero", "more than 16384 bytes"),
            ("cmd:/nowhere/program", "no program `/nowhere/program`"),
            ("cmd:true", "is empty"),
            ("cmd:yes", "without end"),
            ("cmd:sh -c 'echo value; echo not logged in >&2; exit 3'", "exit status: 3: not logged in"),
            ("fd:977", "No such file"),
        ] {
            let told = read(source).expect_err(source);
            assert!(told.contains(text) && !told.contains("value"), "{source}: {told}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_and_a_program_that_hangs_end_with_the_clock() {
        let (ours, _theirs) = io::pipe().expect("a pipe");
        let limit = Duration::from_millis(200);
        for source in
            [Source::Descriptor(ours.as_raw_fd().unsigned_abs()), Source::parse("cmd:sleep 300").expect("one")]
        {
            let begin = std::time::Instant::now();
            source.read(&soon(limit)).expect_err("it hangs");
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn a_secret_in_place_of_a_source_is_never_shown() {
        for text in
            ["tskey-auth-kXYZ", "env:tskey-auth-kXYZ", "env:", "fd:1", "fd:x", "cmd:", "cmd:'open", "file:", "kXYZ:y"]
        {
            let told = Source::parse(text).expect_err(text).to_string();
            assert!(!told.contains("kXYZ"), "{told}");
        }
    }

    #[test]
    fn a_command_is_named_by_its_program_and_a_file_that_others_can_read_is_noticed() {
        let command = Source::parse("cmd:pass show net/key").expect("a command");
        assert_eq!(command, Source::Command(["pass", "show", "net/key"].map(str::to_owned).to_vec()));
        assert_eq!(command.to_string(), "what `pass` prints");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("key");
        std::fs::write(&file, "x").expect("written");
        let mode = |mode| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            Source::File(file.clone()).open_to_others()
        };
        assert_eq!([mode(0o600), mode(0o640), mode(0o644)], [None, None, Some(0o644)]);
        assert_eq!(Source::Env("HOME".to_owned()).open_to_others(), None);
    }
}
