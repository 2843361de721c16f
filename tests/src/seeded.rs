//! Chance that can be had again: the same seed, the same numbers. Not for: anything that has to be secret.

/// A small generator of numbers (splitmix64), from a seed that a test prints.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all that there are.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below a limit, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit
    }
}
