//! How a host is taken out of its tailnet (C6).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
