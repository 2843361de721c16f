//! What an admin did on the server, and what the daemon lost on the way there (J8, J10).

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
