#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_config::fuzz_document(data));
