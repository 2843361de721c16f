//! Tells a running server of the lab what to do: one JSON line to its socket, one back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Gives an order and waits for its answer.
///
/// # Errors
/// When nobody listens, and what the server says.
pub(crate) fn order(socket: &Path, what: &str, mut fields: Value) -> Result<Value> {
    fields["do"] = what.into();
    let ask = || -> Result<Value> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("{fields}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let mut reply = ask().with_context(|| format!("order `{what}` to {}", socket.display()))?;
    if let Some(error) = reply["error"].as_str() {
        bail!("order `{what}`: {error}");
    }
    Ok(reply["answer"].take())
}
