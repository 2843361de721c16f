//! A file, a name and a key: a verdict names lines that are there, a revoked key is never trusted, and the line to add
//! makes an unknown host known.
//!
//! The first line is the host, the second the port, the third the key that the server shows; the rest is the file.

use crate::known_hosts::{HostKey, KnownHosts, Verdict, line};

pub(super) fn target(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (host, port, shown, file) = (next(), next(), next(), next());
    let host = String::from_utf8_lossy(host);
    let port = String::from_utf8_lossy(port).parse().unwrap_or(22);
    if let Ok(key) = HostKey::from_blob(shown) {
        assert_eq!(HostKey::from_blob(key.blob()), Ok(key));
    }
    let lines = file.split(|byte| *byte == b'\n').count();

    let mut known = KnownHosts::default();
    known.add("file", file);
    assert!(known.junk().all(|place| (1..=lines).contains(&place.line)));
    let Some(key) = HostKey::from_text(shown) else {
        let _ = known.host(&host, port).prefer(&["ssh-ed25519", "rsa-sha2-512", "x"]);
        return;
    };
    assert_eq!(HostKey::from_text(key.to_string().as_bytes()).as_ref(), Some(&key));
    assert!(key.fingerprint().starts_with("SHA256:"));

    let verdict = known.host(&host, port).check(&key);
    match &verdict {
        Verdict::Trusted { place } | Verdict::Revoked { place } => assert!((1..=lines).contains(&place.line)),
        Verdict::Changed { known } => {
            assert!(!known.is_empty() && known.iter().all(|known| known.key != key));
        }
        Verdict::Unknown { plain, .. } => assert!(plain.iter().all(|known| known.key != key)),
    }
    // Whatever a file says, one that revokes the key beats it; and a name that can be written down can be trusted.
    let mut revoked = known.clone();
    revoked.add("revoked", format!("@revoked * {key}").as_bytes());
    assert!(matches!(revoked.host(&host, port).check(&key), Verdict::Revoked { .. }));
    if let (Verdict::Unknown { .. }, Some(line)) = (&verdict, line(&host, port, &key)) {
        assert!(!line.contains('\n'));
        known.add("added", line.as_bytes());
        let Verdict::Trusted { place } = known.host(&host, port).check(&key) else { panic!("{line}") };
        assert_eq!((place.file.as_str(), place.line), ("added", 1));
    }
}
