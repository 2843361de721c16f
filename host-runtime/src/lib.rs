//! Being laid.

pub mod contract;
pub mod transport;
pub mod until;
