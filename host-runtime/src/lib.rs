//! Runs sandboxed network providers and gives them one capability: commands on one machine, over SSH.
//!
//! A provider is a WebAssembly component that decides; this library acts for it and touches the network, files and time.
//! It is what `stagecraft-net` is made of, and what an embedder uses.
//!
#![doc = include_str!("../../docs/embedding.md")]
//! # Where things are
//!
//! | module | holds |
//! |---|---|
//! | [`registry`] | the providers of this process, by id |
//! | [`network`] | a provider with a valid config |
//! | [`host`] | one machine: plan, consent, apply |
//! | [`fleet`] | many machines at once |
//! | [`approval`] | what of a plan a person approves |
//! | [`inventory`] | the project's file, and the hosts that it names |
//! | [`record`] | what the last runs left to do |
//! | [`examine`] | a look at one machine for its own sake |
//! | [`event`], [`failure`] | what a run tells, and how a host fails |
//! | [`secrets`], [`sudo`] | where secrets are read, and who may have them |
//! | [`ssh`], [`transport`], [`session`] | connections, and batches over them |
//! | [`policy`] | what a provider may run |
//! | [`engine`], [`artifact`] | the sandbox, and what is loaded into it |
//! | [`until`] | the one thing that waits |

pub mod approval;
pub mod artifact;
mod call;
pub mod contract;
pub mod engine;
pub mod event;
pub mod examine;
pub mod failure;
pub mod fleet;
pub mod host;
pub mod inventory;
pub mod network;
pub mod policy;
mod program;
pub mod record;
pub mod registry;
pub mod secrets;
pub mod session;
pub mod ssh;
pub mod sudo;
pub mod transport;
pub mod until;
mod words;

/// The programs of a page that is not part of this documentation, compiled by the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/providers.md")]
pub struct OwnProvider;
