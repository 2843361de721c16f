#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| boundary::fuzzing::run("inventory", data));
