//! A provider that does nothing but call its host: the config is the number of calls.
//!
//! Built for `wasm32-wasip2` by the build script of `bench`. On any other target it is empty. Not for: anything else.
#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ path: "../../wit", world: "network-provider" });
}

use bindings::exports::stagecraft::network::provider::{
    Assessment, Descriptor, Diagnostic, Failure, Guest, Outcome, Request, Step,
};
use bindings::stagecraft::network::exec_remote::{Actor, Observer};
use bindings::stagecraft::network::secrets::Vault;

struct Caller;

bindings::export!(Caller with_types_in bindings);

impl Guest for Caller {
    fn describe() -> Descriptor {
        Descriptor {
            id: "caller".into(),
            display_name: "Caller".into(),
            description: "Calls its host.".into(),
            version: "1.0.0".into(),
            config_schema: "{}".into(),
            secrets: Vec::new(),
            commands: Vec::new(),
        }
    }

    fn validate(_config: String) -> Vec<Diagnostic> {
        Vec::new()
    }

    fn node_fqdn(_config: String, host: String) -> Result<String, Failure> {
        Ok(host)
    }

    fn plan(request: Request, look: &Observer) -> Result<Assessment, Failure> {
        let times: u32 = request.config.parse().unwrap_or_default();
        let heard: usize = (0..times).map(|_| look.name().len()).sum();
        Ok(Assessment {
            facts: Vec::new(),
            node: None,
            steps: Vec::new(),
            blocked: None,
            notes: Vec::new(),
            // So that nobody can leave the calls out.
            private: heard.to_le_bytes().to_vec(),
        })
    }

    fn apply(
        _request: Request,
        _steps: Vec<Step>,
        _private: Vec<u8>,
        _look: &Observer,
        _act: &Actor,
        _given: &Vault,
    ) -> Result<Outcome, Failure> {
        Ok(Outcome { facts: Vec::new(), node: None, notes: Vec::new() })
    }
}
