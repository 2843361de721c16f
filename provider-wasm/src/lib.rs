//! The Tailscale provider of Stagecraft: it decides what to do on one machine, and the native host does it.
//!
//! A WebAssembly component for `wasm32-wasip2`, and an ordinary library, so that tests run natively over the model of a
//! host. A call goes [`config`] → [`probe`] → [`state`] → [`decide`], in [`converge`] once on predictions (a plan) and
//! once on observations (an apply); [`act`] turns what was decided into commands, with [`prefs`] for the flags of
//! `tailscale up`; [`failure`] holds every text of every way to fail.
//! This file is the only one that names `wit-bindgen`. Not for: sockets, SSH, files, environment or time; there are none here.

pub mod act;
pub mod config;
pub mod converge;
pub mod decide;
pub mod facts;
pub mod failure;
pub mod join;
pub mod note;
pub mod observe;
pub mod package;
pub mod port;
pub mod prefs;
pub mod probe;
pub mod provider;
pub mod report;
pub mod state;
pub mod text;
pub mod version;

#[cfg(target_family = "wasm")]
mod component;

/// What `wit-bindgen` makes of `wit/provider.wit`.
#[cfg(target_family = "wasm")]
mod bindings {
    #![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ path: "../wit", world: "network-provider" });
}
