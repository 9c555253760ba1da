#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_console::fuzz_token_request(data));
