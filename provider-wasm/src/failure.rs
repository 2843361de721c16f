//! One constructor for each way to fail, and the only place with their texts.
//!
//! The summary is what embedders match on; the host puts `tailscale provider: ` in front of it. The detail says what was
//! found, what was wanted and what to do next. None of them holds a time stamp, a random part or a secret.
//! Not for: deciding when one applies.

use crate::port::{Diagnostic, Failure, Severity};

/// A failure of one error.
fn fail(kind: &'static str, code: &'static str, summary: String, detail: String) -> Failure {
    Failure {
        kind,
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            code,
            summary,
            detail: Some(detail),
            config_path: None,
        }],
    }
}

/// One finding about the config. An empty pointer is the config as a whole.
#[must_use]
pub fn finding(code: &'static str, pointer: &str, reason: String, detail: Option<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        summary: format!("invalid config: {reason}"),
        detail,
        config_path: Some(pointer.to_owned()),
    }
}

/// The config has these findings.
#[must_use]
pub fn config(findings: Vec<Diagnostic>) -> Failure {
    Failure { kind: "config-invalid", diagnostics: findings }
}

/// The logical host name cannot be a machine's name in the tailnet.
#[must_use]
pub fn host_name(host: &str, domain: &str) -> Failure {
    fail(
        "config-invalid",
        "host-name",
        format!("invalid config: the host name {host:?} is not a DNS label"),
        format!(
            "Wanted: 1 to 63 lower-case letters, digits and dashes, no dash first or last, and no more than 253 characters together with .{domain}.\nNext: rename the host in stagecraft.yml."
        ),
    )
}

/// Being laid: what cannot be done yet.
#[must_use]
pub fn unfinished() -> Failure {
    fail("other", "unfinished", "not built yet".to_owned(), String::new())
}
