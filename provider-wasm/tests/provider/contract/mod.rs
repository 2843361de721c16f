//! The rows of the contract on one host of the model, by their numbers.

mod beyond;
mod failing;
mod installing;
mod interface;
mod joining;
mod telling;

use crate::sim::{self, Host, START, TAILNET, failed, joined};
use tailscale_model::{Active, Control, Disk, Fault, Kind, Lock, Machine, OtherRepository, Reach, Sudo, Which, World};
use tailscale_provider::port::{Ending, ExecError, Goal, Severity};

const HEADSCALE: &str = "https://hs.example.com";
const HEADSCALE_CONFIG: &str =
    r#"{"auth_key_env":"TS_KEY","tailnet_domain":"mesh.example.com","login_server":"https://hs.example.com"}"#;

fn member(world: &mut World) -> Machine {
    Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:web"])
}

fn headscale(of: impl FnOnce(&mut World) -> Machine) -> Host {
    Host::with(|world| {
        let mut server = Control::new(Kind::Headscale, "mesh.example.com");
        server.add_key("hskey-auth-good", "mesh.example.com", &["tag:web"]);
        world.servers.insert(HEADSCALE.to_owned(), server);
        of(world)
    })
    .config(HEADSCALE_CONFIG)
    .key("hskey-auth-good")
}

fn fact<'a>(facts: &'a [tailscale_provider::port::Fact], name: &str) -> &'a str {
    facts.iter().find(|fact| fact.name == name).map_or("", |fact| fact.value.as_str())
}

fn codes(notes: &[tailscale_provider::port::Diagnostic]) -> Vec<&str> {
    notes.iter().map(|note| note.code).collect()
}

fn retagged(release: &str) -> Host {
    let release = release.to_owned();
    Host::with(move |world| Machine::joined(world, "app-1", &release, TAILNET, &["tag:old"])).allowing("disruptive")
}
