//! What can go wrong between a host and the web, and what a host has asked of it.

use serde::{Deserialize, Serialize};

/// What becomes of the requests of one host that match.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    #[serde(rename = "match")]
    pattern: String,
    then: String,
}

impl Fault {
    /// A fault for requests whose host and path match a regular expression, as in `^tailscale.com/install.sh$`.
    #[must_use]
    pub fn at(pattern: &str, then: Then) -> Self {
        let then = match then {
            Then::Status(code) => format!("status:{code}"),
            Then::Close => "close".to_owned(),
            Then::Hang => "hang".to_owned(),
            Then::Cut(bytes) => format!("cut:{bytes}"),
            Then::Slow(rate) => format!("slow:{rate}"),
            Then::Text(body) => format!("text:{body}"),
        };
        Self { pattern: pattern.to_owned(), then }
    }
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Then {
    /// Answers with this HTTP status.
    Status(u16),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
    /// Promises the whole body, sends so many bytes, and closes.
    Cut(usize),
    /// Sends so many bytes a second.
    Slow(usize),
    /// Answers with another text, as a captive portal does.
    Text(String),
}

/// One request that a host has made.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// `GET` or another.
    pub method: String,
    /// The host and the path.
    pub url: String,
    /// The status, and the fault if there was one.
    pub became: String,
}
