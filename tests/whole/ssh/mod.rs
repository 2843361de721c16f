//! The transport against real servers: sshd, and servers that do what sshd never would.

mod exec;
mod faults;
mod host_keys;
mod login;
mod proxy;
mod shells;

use std::time::Duration;

use std::fs;
use std::path::PathBuf;

use lab::sshd::Sshd;
use stagecraft_net::ssh::{ConnectError, Connection, Endpoint, Trust, connect, resolve};
use stagecraft_net::transport::{Ended, ExecError, Flow, Stream, Transport};
use stagecraft_net::until::{Cancel, Until};

/// Long enough for a loaded machine; what should be over sooner has a limit of its own.
const LONG: Duration = Duration::from_secs(60);
/// What does not wait for [`LONG`] is over by then, on a loaded machine too.
const PROMPT: Duration = Duration::from_secs(20);

fn within(limit: Duration) -> Until {
    Until::after(limit, &Cancel::new().expect("an eventfd"))
}

fn try_connect(endpoint: &Endpoint) -> Result<Connection, ConnectError> {
    connect(&resolve(endpoint, &within(LONG)).expect("a target"), Trust::Strict, &within(LONG))
}

fn to(sshd: &Sshd) -> Connection {
    try_connect(&sshd.endpoint("host")).unwrap_or_else(|error| panic!("{:#?}\n{}", error.failed(), sshd.log()))
}

/// What came back of an exec.
#[derive(Debug, Default, PartialEq)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    fn take(&mut self, stream: Stream, piece: &[u8]) {
        match stream {
            Stream::Out => self.out.extend_from_slice(piece),
            Stream::Err => self.err.extend_from_slice(piece),
        }
    }
}

/// Runs a line to its end.
fn run(connection: &mut Connection, line: &str, input: &[u8]) -> (Result<Ended, ExecError>, Said) {
    let mut said = Said::default();
    let ended = connection.exec(
        line,
        input,
        &mut |stream, piece| {
            said.take(stream, piece);
            Flow::Go
        },
        &within(LONG),
    );
    (ended, said)
}

/// An `ssh_config` beside the server's own, with these lines for every host.
fn config(sshd: &Sshd, lines: &str) -> PathBuf {
    let hosts = sshd.known_hosts();
    let text =
        format!("{lines}\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nLogLevel ERROR\n", hosts.display());
    write(sshd, "ssh_config", &text)
}

/// A file of its own name in the server's directory.
fn write(sshd: &Sshd, name: &str, text: &str) -> PathBuf {
    let file = tempfile::Builder::new().prefix(name).tempfile_in(sshd.dir()).expect("a file");
    let (_, path) = file.keep().expect("kept");
    fs::write(&path, text).expect("written");
    path
}

/// The failure of a connection, whole: headline and detail.
fn told(error: &ConnectError) -> String {
    let failed = error.failed();
    let detail = failed.diagnostics[0].detail.clone().unwrap_or_default();
    format!("{}\n{detail}", failed.headline())
}
