//! An artifact: the bytes of a provider, their digest, and what they say of themselves, read without running anything.
//!
//! An [`Artifact`] exists only with its digest known, and, where one was expected, equal: nothing parses bytes before
//! that. What it says of itself stands in custom sections at the top level of the component: `version`, `licenses`,
//! `source` and `description` by the conventions of `wasm-metadata`, the descriptor as JSON in
//! [`DESCRIPTOR_SECTION`]. At load the engine holds the descriptor against what the component answers.
//! Not for: compiling or running it ([`crate::engine`]), nor what it may do ([`crate::policy`]).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use boundary::text::one_line;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmparser::{ComponentName, KnownCustom, Parser, Payload};

use crate::contract::Descriptor;

/// The custom section that holds the descriptor as JSON.
pub const DESCRIPTOR_SECTION: &str = "stagecraft:descriptor";

/// The most bytes that an artifact may have: three times the largest that a language's tools make today (Python, 18 MiB).
pub const MAX_BYTES: usize = 64 << 20;

/// The most bytes of the descriptor and of each text beside it.
const MAX_SECTION: usize = 1 << 20;

/// The SHA-256 of an artifact's bytes: one for all platforms. Written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `sha256:` and the first 12 hex digits, for messages.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate("sha256:".len() + 12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: found `{found}`, wanted `sha256:` and 64 lower-case hex digits")]
pub struct NotADigest {
    found: String,
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let parse = |hex: &str| {
            let mut bytes = [0; 32];
            let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
            if pairs.len() != bytes.len() || !rest.is_empty() {
                return None;
            }
            for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
                *byte = nibble(*high)? << 4 | nibble(*low)?;
            }
            Some(Self(bytes))
        };
        text.strip_prefix("sha256:")
            .and_then(parse)
            .ok_or_else(|| NotADigest { found: text.chars().take(80).collect() })
    }
}

/// Which artifact: what every message about one begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Which {
    /// The provider's id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The artifact's digest.
    pub digest: Digest,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, version, digest } = self;
        write!(f, "{} {} ({})", one_line(id), one_line(version), digest.short())
    }
}

/// The bytes of a provider, judged as far as they can be without running them.
#[derive(Clone, PartialEq, Eq)]
pub struct Artifact {
    bytes: Cow<'static, [u8]>,
    inspection: Inspection,
}

/// What an artifact says of itself, for people and for `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Inspection {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: usize,
    /// The component's name.
    pub name: Option<String>,
    /// The version, by its own section; the descriptor has one too.
    pub version: Option<String>,
    /// An SPDX expression.
    pub licenses: Option<String>,
    /// Where its source is, a URL.
    pub source: Option<String>,
    /// One sentence.
    pub description: Option<String>,
    /// The interfaces that it needs, in order.
    pub imports: Vec<String>,
    /// The interfaces that it has, in order.
    pub exports: Vec<String>,
    /// What it says of itself as a provider.
    pub descriptor: Descriptor,
}

impl Artifact {
    /// Takes bytes in. With an `expected` digest they are compared before anything else looks at them.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, expected: Option<&Digest>) -> Result<Self, ArtifactError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_BYTES {
            return Err(ArtifactError::TooLarge { found: bytes.len(), limit: MAX_BYTES });
        }
        let digest = Digest::of(&bytes);
        if let Some(wanted) = expected.copied()
            && wanted != digest
        {
            return Err(ArtifactError::Digest { found: digest, wanted });
        }
        let inspection = read(&bytes, digest)?;
        Ok(Self { bytes, inspection })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inspection.digest
    }

    /// What it says of itself as a provider.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.inspection.descriptor
    }

    /// All that can be known without running it.
    #[must_use]
    pub fn inspect(&self) -> &Inspection {
        &self.inspection
    }

    /// Its id, version and digest, for every message about it.
    #[must_use]
    pub fn which(&self) -> Arc<Which> {
        let Descriptor { id, version, .. } = self.descriptor();
        Arc::new(Which { id: id.clone(), version: version.clone(), digest: self.digest() })
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Artifact").field(&self.which()).finish()
    }
}

/// Why bytes are not an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Too many bytes.
    #[error("the artifact has {found} bytes; at most {limit} are taken")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Other bytes than the expected ones.
    #[error("the artifact is not the expected one: found {found}, wanted {wanted}")]
    Digest {
        /// The digest of the bytes.
        found: Digest,
        /// The digest that was expected.
        wanted: Digest,
    },
    /// Something else than a component.
    #[error("not a provider: found {found}, wanted a WebAssembly component ({digest}){advice}")]
    Kind {
        /// What it is.
        found: &'static str,
        /// The bytes' digest.
        digest: Digest,
        /// What to do; empty or a text that begins with `: `.
        advice: &'static str,
    },
    /// A component that cannot be read.
    #[error("the component cannot be read at byte {offset}: {reason} ({digest})")]
    Malformed {
        /// Where.
        offset: usize,
        /// Why.
        reason: String,
        /// The bytes' digest.
        digest: Digest,
    },
    /// The descriptor is not there.
    #[error(
        "not a provider: the component has no section `{DESCRIPTOR_SECTION}`, in which a provider says what it asks for \
         ({digest})"
    )]
    NoDescriptor {
        /// The bytes' digest.
        digest: Digest,
    },
    /// A section cannot be used.
    #[error("the section `{section}` of the artifact cannot be used: {reason} ({digest})")]
    Section {
        /// Its name.
        section: &'static str,
        /// Why.
        reason: String,
        /// The bytes' digest.
        digest: Digest,
    },
}

/// The bytes of a component with its descriptor in the section where an artifact has it: what the author of a provider does
/// last. `descriptor` is JSON; it is judged where the artifact is read, and held against `describe()` at load.
#[must_use]
pub fn with_descriptor(component: &[u8], descriptor: &[u8]) -> Vec<u8> {
    let name = DESCRIPTOR_SECTION.as_bytes();
    let mut content = leb128(name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(descriptor);
    // 0 is a custom section.
    [component, &[0], &leb128(content.len()), &content].concat()
}

/// A length as WebAssembly writes it: seven bits a byte, the lowest first.
fn leb128(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Says what the first bytes are, when they are not a component's.
fn kind(bytes: &[u8], digest: Digest) -> Result<(), ArtifactError> {
    let (found, advice) = match bytes {
        [] => ("no bytes at all", ""),
        // Wasmtime's compiled form is an ELF image: native code, which no sandbox can hold.
        [0x7f, b'E', b'L', b'F', ..] => (
            "native code (an ELF image, such as a `.cwasm`)",
            ": native code from elsewhere is never run; take the `.wasm` that it was compiled from",
        ),
        _ if Parser::is_component(bytes) => return Ok(()),
        _ if Parser::is_core_wasm(bytes) => {
            ("a core WebAssembly module", ": build it for a component target, such as `wasm32-wasip2`")
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            ("WebAssembly text", ": turn it into binary first, such as with `wasm-tools parse`")
        }
        _ => ("something that is not WebAssembly", ""),
    };
    Err(ArtifactError::Kind { found, digest, advice })
}

/// Reads the top level of a component.
fn read(bytes: &[u8], digest: Digest) -> Result<Inspection, ArtifactError> {
    kind(bytes, digest)?;
    let malformed = |error: wasmparser::BinaryReaderError| ArtifactError::Malformed {
        offset: error.offset(),
        reason: one_line(error.message()),
        digest,
    };
    let mut said = Said { digest, name: None, texts: [const { None }; TEXTS.len()], descriptor: None };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            // What stands in the modules and components inside is the compiler's business.
            _ if depth != 1 => {}
            Payload::ComponentImportSection(section) => {
                for import in section {
                    imports.push(one_line(import.map_err(malformed)?.name.name));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    exports.push(one_line(export.map_err(malformed)?.name.name));
                }
            }
            Payload::CustomSection(section) => said.take(&section)?,
            _ => {}
        }
    }
    let descriptor = said.descriptor.ok_or(ArtifactError::NoDescriptor { digest })?;
    let [version, licenses, source, description] = said.texts;
    Ok(Inspection {
        digest,
        size: bytes.len(),
        name: said.name,
        version,
        licenses,
        source,
        description,
        imports,
        exports,
        descriptor,
    })
}

/// The sections that are one text each.
const TEXTS: [&str; 4] = ["version", "licenses", "source", "description"];

/// What the custom sections said so far.
struct Said {
    digest: Digest,
    name: Option<String>,
    texts: [Option<String>; TEXTS.len()],
    descriptor: Option<Descriptor>,
}

impl Said {
    fn take(&mut self, section: &wasmparser::CustomSectionReader<'_>) -> Result<(), ArtifactError> {
        if section.name() == DESCRIPTOR_SECTION {
            let bad = |reason: String| self.bad(DESCRIPTOR_SECTION, reason);
            if self.descriptor.is_some() {
                return Err(bad("it is there twice".to_owned()));
            }
            let descriptor = serde_json::from_slice(small(section.data()).map_err(bad)?);
            self.descriptor = Some(descriptor.map_err(|error| bad(one_line(error.to_string())))?);
        } else if let Some(place) = TEXTS.iter().position(|name| *name == section.name()) {
            let bad = |reason: String| self.bad(TEXTS[place], reason);
            if self.texts[place].is_some() {
                return Err(bad("it is there twice".to_owned()));
            }
            let found = std::str::from_utf8(small(section.data()).map_err(bad)?);
            self.texts[place] = Some(one_line(found.map_err(|_| bad("it is not UTF-8".to_owned()))?));
        } else if let KnownCustom::ComponentName(reader) = section.as_known() {
            // The names are for people; what cannot be read of them is no reason to refuse.
            self.name = reader.into_iter().find_map(|name| match name {
                Ok(ComponentName::Component { name, .. }) => Some(one_line(name)),
                _ => None,
            });
        }
        Ok(())
    }

    fn bad(&self, section: &'static str, reason: String) -> ArtifactError {
        ArtifactError::Section { section, reason, digest: self.digest }
    }
}

/// The data of a section, if it is not too much.
fn small(data: &[u8]) -> Result<&[u8], String> {
    if data.len() <= MAX_SECTION {
        Ok(data)
    } else {
        Err(format!("it has {} bytes; at most {MAX_SECTION} are read", data.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The built-in provider, as it is embedded.
    const BUILTIN: &[u8] = include_bytes!(env!("BUILTIN_ARTIFACT"));

    /// The head of an empty component.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn section(name: &str, data: &[u8]) -> Vec<u8> {
        let small = |length: usize| u8::try_from(length).ok().filter(|length| *length < 0x80).expect("one byte of LEB");
        let mut section = vec![0, small(1 + name.len() + data.len()), small(name.len())];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(data);
        section
    }

    fn refusal(bytes: impl Into<Cow<'static, [u8]>>) -> String {
        Artifact::from_bytes(bytes, None).expect_err("no artifact").to_string()
    }

    #[test]
    fn a_descriptor_of_any_length_is_put_where_an_artifact_has_it() {
        for blanks in [0, 0x80, 0x4000] {
            let json = serde_json::json!({
                "id": "demo", "display-name": "Demo", "description": " ".repeat(blanks), "version": "1.2.3",
                "config-schema": "{}", "secrets": [], "commands": [],
            });
            let bytes = with_descriptor(COMPONENT, json.to_string().as_bytes());
            let artifact = Artifact::from_bytes(bytes.clone(), None).expect("an artifact");
            assert_eq!(artifact.descriptor().description.len(), blanks);
            assert!(refusal(with_descriptor(&bytes, b"{}")).contains("it is there twice"));
        }
    }

    #[test]
    fn the_built_in_provider_says_who_it_is_without_being_run() {
        let artifact = Artifact::from_bytes(BUILTIN, None).expect("an artifact");
        let said = artifact.inspect();
        assert_eq!(said.name.as_deref(), Some(said.descriptor.id.as_str()));
        assert_eq!(said.version.as_deref(), Some(said.descriptor.version.as_str()));
        assert_eq!(said.licenses.as_deref(), Some(env!("CARGO_PKG_LICENSE")));
        assert_eq!(said.source.as_deref(), Some(env!("CARGO_PKG_REPOSITORY")));
        assert_eq!(said.description.as_deref(), Some(said.descriptor.description.as_str()));
        assert_eq!(said.size, BUILTIN.len());
        assert!(said.exports.iter().any(|name| name.starts_with("stagecraft:network/provider@0.1.")), "{said:?}");
        assert!(said.imports.iter().all(|name| !name.starts_with("wasi:filesystem")), "{said:?}");
        assert!(said.descriptor.config_schema.contains("$schema"));
    }

    #[test]
    fn other_bytes_than_the_expected_ones_are_refused_before_they_are_read() {
        let wanted = Digest::of(b"something else");
        let refused = Artifact::from_bytes(&b"\x7fELF"[..], Some(&wanted)).expect_err("another digest");
        assert_eq!(refused, ArtifactError::Digest { found: Digest::of(b"\x7fELF"), wanted });
        let digest = Digest::of(BUILTIN);
        assert_eq!(Artifact::from_bytes(BUILTIN, Some(&digest)).expect("the expected one").digest(), digest);
    }

    #[test]
    fn what_is_no_component_is_refused_in_words() {
        for (bytes, word) in [
            (&b""[..], "no bytes"),
            (b"\x7fELF\x02\x01\x01", "native code"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b" (component)", "WebAssembly text"),
            (b"PK\x03\x04", "not WebAssembly"),
        ] {
            let refused = refusal(bytes);
            assert!(refused.contains(word) && refused.contains("sha256:"), "{refused}");
        }
        assert!(refusal(vec![0; MAX_BYTES + 1]).contains(&MAX_BYTES.to_string()));
    }

    #[test]
    fn a_component_without_a_sound_descriptor_is_refused() {
        let with = |sections: &[Vec<u8>]| {
            refusal([&[COMPONENT], &sections.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]].concat().concat())
        };
        assert!(with(&[]).contains("has no section `stagecraft:descriptor`"));
        assert!(with(&[section(DESCRIPTOR_SECTION, b"{}")]).contains("missing field `id`"));
        assert!(with(&[section(DESCRIPTOR_SECTION, b"[")]).contains("cannot be used"));
        assert!(with(&[section("version", b"\xff")]).contains("it is not UTF-8"));
        assert!(with(&[section("version", b"1"), section("version", b"2")]).contains("it is there twice"));
        assert!(with(&[section("name", b"x\x1b]0;")]).contains("has no section"));
        assert!(with(&[vec![0, 0x7f, 1]]).contains("cannot be read at byte"));
    }

    #[test]
    fn every_cut_of_an_artifact_is_refused_and_none_panics() {
        let step = (BUILTIN.len() / 400).max(1);
        for cut in (0..BUILTIN.len()).step_by(step) {
            // The descriptor stands last, so no cut has it.
            assert!(Artifact::from_bytes(&BUILTIN[..cut], None).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn sections_of_the_modules_inside_do_not_speak_for_the_component() {
        // A core module with a custom section, inside of a component.
        let module = [&b"\0asm\x01\0\0\0"[..], &section(DESCRIPTOR_SECTION, b"{}")].concat();
        let nested = [COMPONENT, &[1, u8::try_from(module.len()).expect("small")], &module].concat();
        assert!(refusal(nested).contains("has no section"));
    }

    #[test]
    fn digests_are_written_and_read() {
        let digest = Digest::of(b"");
        let text = digest.to_string();
        assert_eq!(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.short(), "sha256:e3b0c44298fc");
        assert_eq!(text.parse(), Ok(digest));
        for bad in ["", "sha256:", &text[..70], &text.to_uppercase(), &text.replace('e', "g"), &format!("{text}0")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
