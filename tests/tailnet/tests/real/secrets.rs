//! Where the key is while a host joins, and what two runs say alike (K1, D1, J9).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
