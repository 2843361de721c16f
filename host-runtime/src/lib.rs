//! Being laid.

pub mod artifact;
pub mod call;
pub mod contract;
pub mod engine;
pub mod event;
pub mod failure;
pub mod fleet;
pub mod inventory;
pub mod network;
pub mod policy;
pub mod registry;
pub mod secrets;
pub mod session;
pub mod ssh;
pub mod transport;
pub mod until;
