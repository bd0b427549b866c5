//! `setup`, `preinit` and `lock`, from the connection to the lock, with a TPM that answers what it likes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{ffi::c_char, sync::LazyLock};
use trust::{error::Kind, secret::MAX_SECRET};
use trust_fuzz::{Job, Liar};

/// Conversations with an honest TPM, from `cargo run --example record`.
const RECORDED: [&[u8]; 5] = [
    include_bytes!("../recorded/setup"),
    include_bytes!("../recorded/setup-in-chunks"),
    include_bytes!("../recorded/setup-without-srk"),
    include_bytes!("../recorded/preinit"),
    include_bytes!("../recorded/lock"),
];

/// tss-esapi 8.0.0-alpha.4 does not free what PCRs hold, which is no secret, where the selection in the same answer is
/// malformed. Once, and then the program ends.
#[unsafe(no_mangle)]
extern "C" fn __lsan_default_suppressions() -> *const c_char {
    c"leak:Esys_PCR_Read_Finish".as_ptr()
}

static LIAR: LazyLock<Liar> = LazyLock::new(|| {
    let liar = Liar::new();
    // Where these do not lead to the end, nothing that is like them will.
    for recorded in RECORDED {
        let (job, outcome, heard) = liar.run(recorded).expect("it names a job");
        let whole = outcome.is_ok() && heard.locks == 1;
        assert!(whole, "{job:?} asks for something else than when it was recorded: {outcome:?}, {heard:?}");
    }
    liar
});

fuzz_target!(|bytes: &[u8]| {
    let Some((job, outcome, heard)) = LIAR.run(bytes) else { return };
    let asked_to_lock = heard.locks > 0;
    match outcome {
        Ok(sizes) => {
            assert!(asked_to_lock, "{job:?}: not locked");
            assert_eq!(sizes.len(), [3, 1, 0][job as usize], "{job:?}");
            assert!(sizes.iter().all(|size| *size <= MAX_SECRET), "{job:?}: {sizes:?}");
            // Too short a passphrase is not made.
            assert!(job != Job::Preinit || sizes[0] >= 38, "{sizes:?}");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("cannot ") && text.len() < 1000 && !text.contains('\n'), "{text:?}");
            match error.kind() {
                Kind::LockNotProven => {}
                // There never was a TPM that worked.
                Kind::NoTpm => assert!(asked_to_lock || !heard.worked, "{job:?}: {text}: {heard:?}"),
                _ => assert!(asked_to_lock, "{job:?}: {text}: {heard:?}"),
            }
        }
    }
});
