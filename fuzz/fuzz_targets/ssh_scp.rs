#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_ssh::fuzz_scp(data));
