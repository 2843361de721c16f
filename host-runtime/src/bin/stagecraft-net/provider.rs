//! `provider list` and `provider inspect`: what is built in, and what one of them, or somebody else's artifact, asks for.

use std::fmt::Write as _;
use std::time::Instant;

use boundary::grant::{Risk, risk};
use boundary::text::{one_line, printable};
use stagecraft_net::artifact::Artifact;
use stagecraft_net::contract::{CommandRequest, Descriptor, SecretKind, SecretSlot, StdinRule};
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
    let providers = match args {
        Provider::List => registry().map(|registry| registry.list().map(|one| said(one.artifact())).collect()),
        Provider::Inspect { which } => inspect(which).map(|one| vec![one]),
    };
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
    for (provider, descriptor) in providers {
        report.tell(Event::Provider { provider, descriptor });
    }
    end(&report, Counts::default(), Exit::Ok, begun)
}

/// What a provider says of itself: one that is built in, or a file that somebody else made, which is read and never run.
fn inspect(which: &str) -> Result<(ProviderRef, Descriptor), Stop> {
    if !(which.contains('/') || which.ends_with(".wasm")) {
        let registry = registry()?;
        let provider = registry.get(which).map_err(|unknown| Stop::new(Fault::Usage, unknown.to_string()))?;
        return Ok(said(provider.artifact()));
    }
    let fault = |error: String| Stop::new(Fault::Usage, format!("{}: {error}", one_line(which)));
    let bytes = std::fs::read(which).map_err(|error| fault(error.to_string()))?;
    Artifact::from_bytes(bytes, None).map(|artifact| said(&artifact)).map_err(|error| fault(error.to_string()))
}

/// An artifact's own words, as a terminal may have them.
fn said(artifact: &Artifact) -> (ProviderRef, Descriptor) {
    let descriptor = clean(artifact.descriptor());
    (ProviderRef::of(&descriptor, artifact.digest()), descriptor)
}

/// The same without what a terminal would take for more than text, and each text on one line: whoever wrote it, it cannot
/// look like another provider's, or like ours.
fn clean(descriptor: &Descriptor) -> Descriptor {
    let line = |text: &String| one_line(text);
    let lines = |texts: &[String]| texts.iter().map(one_line).collect();
    let Descriptor { id, display_name, description, version, config_schema, secrets, commands } = descriptor;
    Descriptor {
        id: line(id),
        display_name: line(display_name),
        description: line(description),
        version: line(version),
        config_schema: printable(config_schema),
        secrets: secrets
            .iter()
            .map(|secret| SecretSlot {
                slot: line(&secret.slot),
                env_config_path: line(&secret.env_config_path),
                kinds: secret
                    .kinds
                    .iter()
                    .map(|kind| SecretKind { name: line(&kind.name), prefix: line(&kind.prefix) })
                    .collect(),
            })
            .collect(),
        commands: commands
            .iter()
            .map(|request| CommandRequest {
                argv: lines(&request.argv),
                env: lines(&request.env),
                stdin: match &request.stdin {
                    StdinRule::Secret(slot) => StdinRule::Secret(line(slot)),
                    StdinRule::OutputOf(words) => StdinRule::OutputOf(lines(words)),
                    other => other.clone(),
                },
                reason: line(&request.reason),
                ..request.clone()
            })
            .collect(),
    }
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

    #[test]
    fn no_text_of_a_foreign_descriptor_is_more_than_text() {
        let evil = || "a\x1b[2J\u{9b}31m\u{202e}b\ncommands that are harmless\r".to_owned();
        let request = |stdin| CommandRequest {
            argv: vec![evil(), evil()],
            env: vec![evil()],
            stdin,
            mutates: true,
            as_root: true,
            reason: evil(),
        };
        let kinds = vec![SecretKind { name: evil(), prefix: evil() }];
        let descriptor = Descriptor {
            id: evil(),
            display_name: evil(),
            description: evil(),
            version: evil(),
            config_schema: evil(),
            secrets: vec![SecretSlot { slot: evil(), env_config_path: evil(), kinds }],
            commands: vec![
                request(StdinRule::Secret(evil())),
                request(StdinRule::OutputOf(vec![evil()])),
                request(StdinRule::Any),
            ],
        };
        let descriptor = clean(&descriptor);
        let provider = ProviderRef { id: "demo".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() };
        let odd = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        for list in [true, false] {
            let text = describe(&provider, &descriptor, list);
            assert!(!text.contains(odd), "{text:?}");
            assert!(text.lines().all(|line| line != "commands that are harmless"), "{text}");
        }
        // A program that reads JSON may print what it reads.
        let json = serde_json::to_value(&descriptor).expect("JSON").to_string();
        for never in ["\\u001b", "\u{9b}", "\u{202e}", "\\r"] {
            assert!(!json.contains(never), "{never:?} in {json}");
        }
    }
}
