//! What a process knows of providers, by id (C2).

use std::sync::Arc;

use stagecraft_net::engine::Compile;
use stagecraft_net::engine::Engine;
use stagecraft_net::network::Provider;
use stagecraft_net::registry::{RegisterError, Registry};

use super::{PLAIN, artifact, limits, options};

fn misfit(engine: &Engine) -> Provider {
    let artifact = artifact(PLAIN);
    let loaded = engine.load(&artifact, Compile::InProcess).expect("it loads");
    Provider::new(artifact, loaded, "").expect("no grants are fine")
}

#[test]
fn c2_a_registry_refuses_a_second_one_of_an_id_lists_in_order_and_names_what_it_knows() {
    let engine = Engine::new(options(limits(|_| {}))).expect("an engine");
    let mut registry = Registry::builtin(&engine).expect("the built-in providers");
    assert!(registry.has("tailscale") && !registry.has("misfit"));
    registry.register(misfit(&engine)).expect("a new id");
    assert_eq!(registry.ids().collect::<Vec<_>>(), ["misfit", "tailscale"]);
    assert_eq!(registry.list().map(|provider| provider.id()).collect::<Vec<_>>(), ["misfit", "tailscale"]);

    match registry.register(misfit(&engine)) {
        Err(RegisterError::Duplicate { id, .. }) => assert_eq!(id, "misfit"),
        other => panic!("a second misfit: {other:?}"),
    }
    assert_eq!(registry.ids().count(), 2);

    let unknown = registry.get("headscale").expect_err("nobody registered it").to_string();
    assert_eq!(unknown, "unknown network provider `headscale`; known: misfit, tailscale");

    let shared = Arc::new(registry);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.get("misfit").map(|provider| provider.id().to_owned()))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic").as_deref(), Ok("misfit"));
    }
}
