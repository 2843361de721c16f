//! OAuth clients' secrets as keys (J12).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
