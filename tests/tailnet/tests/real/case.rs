//! A test, and what it runs on.

use anyhow::Result;
use tailnet_lab::{Control, Host, Lab, Os, Project, Release, Spec};

/// One test, declared beside its function by [`test!`].
pub(crate) struct Test {
    pub(crate) name: &'static str,
    /// Rows of the contract that it shows, with a blank between two. None: it is about the lab.
    pub(crate) rows: &'static str,
    pub(crate) cases: &'static [Case],
    pub(crate) run: fn(&Case) -> Result<()>,
}

/// `test!(function, "rows", CASES)`
macro_rules! test {
    ($function:ident, $rows:literal, $cases:expr) => {
        $crate::Test { name: stringify!($function), rows: $rows, cases: $cases, run: $function }
    };
}
pub(crate) use test;

/// What a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) release: Release,
    pub(crate) os: Os,
    pub(crate) server: Server,
}

/// Where the tailnet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// On a server of one's own: `login_server` is set.
    Own,
    /// On the one that the client asks by default: the same server, under the names of the real service.
    Default,
}

const FIRST: Case = Case { release: Release::NEWEST, os: Os::Bookworm, server: Server::Own };

/// On every supported release of the client.
pub(crate) const EVERY_CLIENT: &[Case] =
    &[FIRST, Case { release: Release::V1_86_5, ..FIRST }, Case { release: Release::V1_80_3, ..FIRST }];

/// On the newest client only: for what does not depend on it.
pub(crate) const NEWEST: &[Case] = &[FIRST];

/// On every supported release, and on the newest with each other distribution and server.
pub(crate) const EVERYWHERE: &[Case] = &[
    FIRST,
    Case { release: Release::V1_86_5, ..FIRST },
    Case { release: Release::V1_80_3, ..FIRST },
    Case { os: Os::Trixie, ..FIRST },
    Case { os: Os::Ubuntu, ..FIRST },
    Case { server: Server::Default, ..FIRST },
];

impl Case {
    /// What tells it from the first one, after the client's release.
    pub(crate) fn name(&self) -> String {
        let os = match self.os {
            Os::Bookworm => "",
            Os::Trixie => " debian-13",
            Os::Ubuntu => " ubuntu",
        };
        let server = match self.server {
            Server::Own => "",
            Server::Default => " default-server",
        };
        format!("{}{os}{server}", self.release.version())
    }

    /// The lab that all tests share.
    pub(crate) fn lab(&self) -> Result<&'static Lab> {
        Lab::shared()
    }

    /// A control server with a tailnet of that suffix.
    pub(crate) fn control(&self, domain: &str) -> Result<Control> {
        self.lab()?.control(domain)
    }

    /// A project whose hosts join that tailnet, on this case's kind of server.
    pub(crate) fn project(&self, control: &Control) -> Result<Project> {
        let mut project = Project::new(self.lab()?, control)?;
        if self.server == Server::Default {
            let lines: Vec<&str> =
                project.provider_lines().lines().filter(|line| !line.starts_with("login_server")).collect();
            let lines = lines.join("\n");
            project.provider(&lines)?;
        }
        Ok(project)
    }

    /// A host without the client.
    pub(crate) fn bare(&self, name: &str, control: &Control) -> Result<Host> {
        self.host(name, control, &self.spec(false))
    }

    /// A host with this case's client, in no tailnet.
    pub(crate) fn installed(&self, name: &str, control: &Control) -> Result<Host> {
        self.host(name, control, &self.spec(true))
    }

    /// What a host of this case is like.
    pub(crate) fn spec(&self, installed: bool) -> Spec {
        Spec { os: self.os, release: self.release, installed, ..Spec::default() }
    }

    /// A host, for which this server is the default one where the case says so.
    pub(crate) fn host(&self, name: &str, control: &Control, spec: &Spec) -> Result<Host> {
        let host = self.lab()?.host(name, spec)?;
        if self.server == Server::Default {
            host.default_control(control)?;
        }
        Ok(host)
    }
}
