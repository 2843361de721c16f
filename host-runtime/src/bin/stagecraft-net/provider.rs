//! `provider list` and `provider inspect`: what is built in, and what one of them asks for.

use std::fmt::Write as _;
use std::time::Instant;

use boundary::grant::{Risk, risk};
use stagecraft_net::contract::{CommandRequest, Descriptor};
use stagecraft_net::event::{Counts, Event, Fault, ProviderRef, SCHEMA, Tell};
use stagecraft_net::policy::requested;

use crate::args::{Global, Provider};
use crate::exit::Exit;
use crate::project::{Stop, end, registry, report, stopped};
use crate::report::Context;

pub(crate) const LIST: &str = "provider list";
const INSPECT: &str = "provider inspect";

pub(crate) fn run(global: &Global, args: &Provider) -> Exit {
    let begun = Instant::now();
    let command = match args {
        Provider::List => LIST,
        Provider::Inspect { .. } => INSPECT,
    };
    let providers = registry().and_then(|registry| match args {
        Provider::List => Ok(registry.list().cloned().collect()),
        Provider::Inspect { id } => match registry.get(id) {
            Ok(provider) => Ok(vec![provider.clone()]),
            Err(unknown) => Err(Stop::new(Fault::Usage, unknown.to_string())),
        },
    });
    let providers: Vec<_> = match providers {
        Ok(providers) => providers,
        Err(stop) => return stopped(global.json, global.verbose, command, None, &stop),
    };
    let report = match report(global.json, global.verbose, Context::default()) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    report.tell(Event::Begin {
        schema: SCHEMA,
        command: command.to_owned(),
        environment: None,
        provider: None,
        hosts: Vec::new(),
    });
    for provider in providers {
        let descriptor = provider.descriptor().clone();
        report.tell(Event::Provider { provider: provider.reference(), descriptor });
    }
    end(&report, Counts::default(), Exit::Ok, begun)
}

/// A provider in words: one line in a list, all of it otherwise.
pub(crate) fn describe(provider: &ProviderRef, descriptor: &Descriptor, list: bool) -> String {
    let ProviderRef { id, version, digest } = provider;
    let mut text = String::new();
    if list {
        let _ = write!(text, "{id}  {version}  {}", descriptor.description);
        return text;
    }
    let _ = writeln!(text, "{id}  {}\n{}\n", descriptor.display_name, descriptor.description);
    let _ = writeln!(text, "version  {version}\ndigest   {digest}");
    if !descriptor.secrets.is_empty() {
        let _ = writeln!(text, "\nsecrets it uses, by the name of an environment variable in its config");
    }
    for secret in &descriptor.secrets {
        let kinds: Vec<&str> = secret.kinds.iter().map(|kind| kind.name.as_str()).collect();
        let _ = writeln!(text, "  {}  named at {}; kinds: {}", secret.slot, secret.env_config_path, kinds.join(", "));
    }
    let (harmless, rest): (Vec<_>, Vec<_>) =
        descriptor.commands.iter().map(|request| (request, judge(request))).partition(|(_, why)| why.is_none());
    for (title, requests) in [("commands that are harmless", harmless), ("commands to treat as root", rest)] {
        if !requests.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for (request, why) in requests {
            let line = requested(request).map_or_else(|_| request.argv.join(" "), |grant| format!("{grant:#}"));
            let _ = writeln!(text, "  {}\n      {}", line.replace('\n', "\n  "), request.reason);
            if let Some(why) = why {
                let _ = writeln!(text, "      because {why}");
            }
        }
    }
    text
}

/// Why granting this is granting root; `None` where it is known to be harmless.
fn judge(request: &CommandRequest) -> Option<String> {
    let Ok(grant) = requested(request) else { return Some("no grant can say it".to_owned()) };
    match risk(&grant) {
        Risk::Harmless => None,
        Risk::TreatAsRoot(reasons) => Some(reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        _ => Some("its risk is not known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::contract::{SecretKind, SecretSlot, StdinRule};

    #[test]
    fn a_provider_is_one_line_in_a_list_and_all_that_it_asks_for_otherwise() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let request = |argv: &str, mutates, as_root, stdin, reason: &str| CommandRequest {
            argv: words(argv),
            env: Vec::new(),
            stdin,
            mutates,
            as_root,
            reason: reason.to_owned(),
        };
        let descriptor = Descriptor {
            id: "demo".to_owned(),
            display_name: "Demo".to_owned(),
            description: "A network for tests.".to_owned(),
            version: "1.2.3".to_owned(),
            config_schema: "{}".to_owned(),
            secrets: vec![SecretSlot {
                slot: "auth-key".to_owned(),
                env_config_path: "/key_env".to_owned(),
                kinds: vec![SecretKind { name: "demo-key".to_owned(), prefix: "dk-".to_owned() }],
            }],
            commands: vec![
                request("uname -s", false, false, StdinRule::None, "which system it is"),
                request("demo status --json", false, false, StdinRule::None, "what the machine is"),
                request("demo up --key=- --tag=*", true, true, StdinRule::Secret("auth-key".to_owned()), "joins"),
                request("sh -s", true, true, StdinRule::OutputOf(words("curl -f https://example.net/x")), "installs"),
            ],
        };
        let provider =
            ProviderRef { id: "demo".to_owned(), version: "1.2.3".to_owned(), digest: format!("sha256:{:064}", 7) };
        insta::assert_snapshot!(describe(&provider, &descriptor, true));
        insta::assert_snapshot!(describe(&provider, &descriptor, false));
    }
}
