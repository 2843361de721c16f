//! What the road to a host does to what goes over it.

use serde::Serialize;

/// The same each way. [`Road::default`] is perfect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Road {
    /// How long a frame takes, one way, in milliseconds.
    pub delay_ms: f64,
    /// How much that varies, up and down, in milliseconds.
    pub jitter_ms: f64,
    /// How many frames are lost, in percent.
    pub loss: f64,
    /// How much goes over it, in kilobits a second; 0 is no limit.
    pub rate_kbit: f64,
    /// Nothing goes over it.
    pub down: bool,
}
