//! Sealed secrets: the key file, its policy, and where its stream begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::host::seal::SealedFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok((file, stream)) = SealedFile::parse(bytes) else { return };
    assert!(stream.is_none_or(|start| start.0 <= bytes.len()));
    // Not all that others write can be written here; what can be, is read as the same.
    let Ok(text) = file.to_text(stream.is_some()) else { return };
    let (again, start) = SealedFile::parse(&text).expect("what is written is read");
    assert_eq!(again.recipe.policy.digest(), file.recipe.policy.digest());
    assert_eq!((again.blob, again.parent, start.is_some()), (file.blob, file.parent, stream.is_some()));
});
