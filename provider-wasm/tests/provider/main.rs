//! Every test of the provider that needs a host: one binary, over the one model.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test may panic as the test may")]

mod contract;
mod odd;
mod properties;
mod recordings;
mod sim;
mod states;
