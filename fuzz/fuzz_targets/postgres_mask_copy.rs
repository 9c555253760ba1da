#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_postgres::fuzz_mask_copy(data));
