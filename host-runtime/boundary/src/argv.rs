//! Words: one POSIX shell word each, or a refusal.
//!
//! A command is an argument vector, never a shell line. Quoting is what keeps a word a word; [`check`] refuses what
//! quoting cannot mend: a NUL, which no argument can hold, and a first word that the programs standing in front of it
//! (`sudo`, `timeout`, `env`) would read as an option or as an assignment. That a first word such as `eval` or `exit`
//! is no builtin is a matter of [`crate::script`]: there is always an external program in front.
//! Not for: deciding whether a command is allowed ([`crate::grant`]).

use crate::text;

/// The most words a command may have.
pub const MAX_WORDS: usize = 512;
/// The most bytes a word, or the name and value of an environment variable, may have. Linux itself stops at 128 KiB
/// (`MAX_ARG_STRLEN`).
pub const MAX_WORD: usize = 32 * 1024;
/// The most bytes that all words and variables of a command may have together.
pub const MAX_BYTES: usize = 128 * 1024;

/// Variables that change what a program is, not what it does: they choose the code that is loaded or how a shell reads
/// its script. A grant cannot give them.
const FORBIDDEN_NAMES: [&str; 9] =
    ["PATH", "IFS", "ENV", "PS4", "CDPATH", "SHELLOPTS", "BASHOPTS", "GCONV_PATH", "GLIBC_TUNABLES"];
const FORBIDDEN_PREFIXES: [&str; 2] = ["BASH_", "LD_"];

/// Why words or variables cannot be a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgvError {
    /// There is no word.
    #[error("a command has at least one word, the program")]
    Empty,
    /// The program is the empty word.
    #[error("the first word of a command is a program; it is empty")]
    NoProgram,
    /// The program begins with a dash.
    #[error("the first word of a command is a program; `{0}` begins with `-`, so it would be read as an option")]
    ProgramIsOption(String),
    /// The program holds an equals sign.
    #[error("the first word of a command is a program; `{0}` holds `=`, so it would be read as an assignment")]
    ProgramIsAssignment(String),
    /// A word holds a NUL.
    #[error("word {0} holds a NUL byte, which no argument can")]
    Nul(usize),
    /// Too many words.
    #[error("{found} words, at most {MAX_WORDS} are sent")]
    TooManyWords {
        /// How many there are.
        found: usize,
    },
    /// Too many bytes in one word, or together.
    #[error("{found} bytes {place}, at most {limit} are sent")]
    TooLong {
        /// How many there are.
        found: usize,
        /// Of what.
        place: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// No program could read a variable of this name.
    #[error("`{0}` is no name for an environment variable: a letter or `_`, then letters, digits and `_`")]
    VariableName(String),
    /// The variable changes which code runs.
    #[error("the environment variable {0} is never set for a command: it changes which code runs")]
    VariableForbidden(String),
    /// The value of a variable holds a NUL.
    #[error("the value of the environment variable {0} holds a NUL byte, which none can")]
    VariableNul(String),
}

/// One POSIX shell word that stands for exactly these bytes, in every shell that reads single quotes as POSIX does.
///
/// # Errors
/// [`ArgvError::Nul`], as word 0: no shell word can hold one.
pub fn quote(word: &[u8]) -> Result<Vec<u8>, ArgvError> {
    if word.contains(&0) {
        return Err(ArgvError::Nul(0));
    }
    let mut quoted = Vec::with_capacity(quoted_len(word));
    quote_into(&mut quoted, word);
    Ok(quoted)
}

/// How long [`quote_into`] makes it.
pub(crate) fn quoted_len(word: &[u8]) -> usize {
    word.len() + 2 + 3 * word.iter().filter(|byte| **byte == b'\'').count()
}

/// The same into a buffer that has the room already, so that no copy of a secret is left behind by growing. The caller
/// has seen that there is no NUL.
pub(crate) fn quote_into(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// Whether these words can be a command.
///
/// # Errors
/// What is wrong with them, the first finding.
pub fn check(argv: &[String]) -> Result<(), ArgvError> {
    let program = argv.first().ok_or(ArgvError::Empty)?;
    if program.is_empty() {
        return Err(ArgvError::NoProgram);
    }
    if program.starts_with('-') {
        return Err(ArgvError::ProgramIsOption(shown(program)));
    }
    if program.contains('=') {
        return Err(ArgvError::ProgramIsAssignment(shown(program)));
    }
    if argv.len() > MAX_WORDS {
        return Err(ArgvError::TooManyWords { found: argv.len() });
    }
    if let Some(place) = argv.iter().position(|word| word.contains('\0')) {
        return Err(ArgvError::Nul(place));
    }
    check_lengths(argv.iter().map(String::len))
}

/// Whether these variables can be given to a command.
///
/// # Errors
/// What is wrong with them, the first finding.
pub fn check_env(env: &[(String, String)]) -> Result<(), ArgvError> {
    for (name, value) in env {
        check_env_name(name)?;
        if value.contains('\0') {
            return Err(ArgvError::VariableNul(name.clone()));
        }
    }
    check_lengths(env.iter().map(|(name, value)| name.len() + value.len() + 1))
}

/// Whether a variable of this name can be given to a command at all, whatever was granted.
///
/// # Errors
/// [`ArgvError::VariableName`] and [`ArgvError::VariableForbidden`].
pub fn check_env_name(name: &str) -> Result<(), ArgvError> {
    let first = name.bytes().next();
    let is_name = first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(ArgvError::VariableName(shown(name)));
    }
    if FORBIDDEN_NAMES.contains(&name) || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(ArgvError::VariableForbidden(name.to_owned()));
    }
    Ok(())
}

fn check_lengths(lengths: impl Iterator<Item = usize>) -> Result<(), ArgvError> {
    let mut total = 0_usize;
    for found in lengths {
        if found > MAX_WORD {
            return Err(ArgvError::TooLong { found, place: "in one word", limit: MAX_WORD });
        }
        total = total.saturating_add(found);
    }
    if total > MAX_BYTES {
        return Err(ArgvError::TooLong { found: total, place: "in one command", limit: MAX_BYTES });
    }
    Ok(())
}

fn shown(word: &str) -> String {
    text::bounded(&text::one_line(word), 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_word_is_quoted_also_one_that_would_not_need_it() {
        assert_eq!(quote(b"plain").unwrap(), b"'plain'");
        assert_eq!(quote(b"").unwrap(), b"''");
        assert_eq!(quote(b"it's $(id)").unwrap(), b"'it'\\''s $(id)'");
        assert_eq!(quote(b"a\0b"), Err(ArgvError::Nul(0)));
    }

    #[test]
    fn a_first_word_that_is_no_program_is_refused_and_says_how_it_would_be_read() {
        assert_eq!(check(&[]), Err(ArgvError::Empty));
        assert_eq!(check(&words(&["", "x"])), Err(ArgvError::NoProgram));
        assert_eq!(check(&words(&["--version"])), Err(ArgvError::ProgramIsOption("--version".to_owned())));
        assert_eq!(
            check(&words(&["LD_PRELOAD=x", "id"])),
            Err(ArgvError::ProgramIsAssignment("LD_PRELOAD=x".to_owned()))
        );
        let message = check(&words(&["-\u{1b}]0;x"])).unwrap_err().to_string();
        assert!(message.contains("begins with `-`") && !message.contains('\u{1b}'), "{message}");
        // Later words may be anything.
        assert_eq!(check(&words(&["prog", "", "-x", "a=b", "\n", "*"])), Ok(()));
    }

    #[test]
    fn a_nul_is_refused_with_its_place() {
        assert_eq!(check(&words(&["prog", "a", "b\0c"])), Err(ArgvError::Nul(2)));
        assert_eq!(check(&words(&["pr\0og"])), Err(ArgvError::Nul(0)));
    }

    #[test]
    fn bounds_hold_for_words_bytes_of_one_and_bytes_of_all() {
        let many = vec!["x".to_owned(); MAX_WORDS];
        assert_eq!(check(&many), Ok(()));
        assert_eq!(check(&[many.as_slice(), &many].concat()), Err(ArgvError::TooManyWords { found: 2 * MAX_WORDS }));
        let long = "x".repeat(MAX_WORD);
        assert_eq!(check(&words(&["p", &long])), Ok(()));
        assert!(matches!(
            check(&words(&["p", &(long.clone() + "x")])),
            Err(ArgvError::TooLong { limit: MAX_WORD, .. })
        ));
        let five = words(&["p", &long, &long, &long, &long]);
        assert!(matches!(check(&five), Err(ArgvError::TooLong { limit: MAX_BYTES, .. })));
    }

    #[test]
    fn a_variable_has_a_name_and_never_one_that_chooses_the_code_that_runs() {
        for good in ["LC_ALL", "_x", "TS_DEBUG9", "path", "LDX"] {
            assert_eq!(check_env_name(good), Ok(()), "{good}");
        }
        for bad in ["", "9a", "a-b", "a b", "a=b", "é", "a\nb", "BASH_FUNC_x%%"] {
            assert!(matches!(check_env_name(bad), Err(ArgvError::VariableName(_))), "{bad}");
        }
        for never in ["PATH", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "SHELLOPTS", "GCONV_PATH"] {
            assert_eq!(check_env_name(never), Err(ArgvError::VariableForbidden(never.to_owned())));
        }
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(check_env(&pair("A", "it's\n$x")), Ok(()));
        assert_eq!(check_env(&pair("A", "\0")), Err(ArgvError::VariableNul("A".to_owned())));
        assert!(matches!(check_env(&pair("A", &"x".repeat(MAX_WORD))), Err(ArgvError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_as_long_as_was_said_and_reads_back(word in proptest::collection::vec(1_u8.., 0..80)) {
            let quoted = quote(&word).unwrap();
            prop_assert_eq!(quoted.len(), quoted_len(&word));
            // How POSIX reads it: quoted runs, and escaped quotes between them.
            let mut read = Vec::new();
            let mut rest = quoted.as_slice();
            while let Some(run) = rest.strip_prefix(b"'") {
                let end = run.iter().position(|byte| *byte == b'\'').unwrap();
                read.extend_from_slice(&run[..end]);
                rest = &run[end + 1..];
                if let Some(more) = rest.strip_prefix(b"\\'") {
                    read.push(b'\'');
                    rest = more;
                }
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read, word);
        }
    }
}
