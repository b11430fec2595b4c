#![no_main]

use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a scratch folder can be made"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    egret_fuzz::htpasswd(data, FOLDER.path());
});
