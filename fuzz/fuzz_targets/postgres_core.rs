#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::in_a_session(data, portcullis_postgres::fuzz_core));
