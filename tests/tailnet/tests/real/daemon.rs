//! Daemons that do not answer, and why (C3, I5).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
