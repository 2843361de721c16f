//! What is there before anybody installs, and what a plan costs (I1, I2, I3, I6, C7).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
