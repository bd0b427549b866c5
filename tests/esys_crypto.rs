//! The crypto backend of ESYS, called as C calls it: with pointers, some of them null, in every order that C may have.
//!
//! Miri runs it too: `cargo +nightly miri test --test esys_crypto`. What lies behind C it cannot see.

#![allow(unsafe_code, reason = "calls what is there for C to call")]

use std::{ffi::c_void, mem::MaybeUninit, ptr};
// It brings the functions.
use trust as _;
use tss_esapi_sys::{TPM2B_NONCE, TSS2_RC};

const SHA256: u16 = 0x000b;
const SHA384: u16 = 0x000c;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;

const NOT_IMPLEMENTED: TSS2_RC = (7 << 16) | 2;
const BAD_REFERENCE: TSS2_RC = (7 << 16) | 5;
const BAD_VALUE: TSS2_RC = (7 << 16) | 11;

/// What C takes for a running hash or HMAC.
type Running = *mut c_void;
type Crypt = unsafe extern "C" fn(*mut u8, u16, u16, u16, *mut u8, usize, *mut u8, *mut c_void) -> TSS2_RC;

unsafe extern "C" {
    fn iesys_cryptmbed_hash_start(out: *mut Running, algorithm: u16, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hash_update(hash: Running, data: *const u8, size: usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hash_finish(hash: *mut Running, to: *mut u8, size: *mut usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hash_abort(hash: *mut Running, _: *mut c_void);
    fn iesys_cryptmbed_hmac_start(out: *mut Running, alg: u16, key: *const u8, size: usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hmac_update(hmac: Running, data: *const u8, size: usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hmac_finish(hmac: *mut Running, to: *mut u8, size: *mut usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_hmac_abort(hmac: *mut Running, _: *mut c_void);
    fn iesys_cryptmbed_random2b(nonce: *mut TPM2B_NONCE, size: usize, _: *mut c_void) -> TSS2_RC;
    fn iesys_cryptmbed_sym_aes_encrypt(
        key: *mut u8,
        algorithm: u16,
        bits: u16,
        mode: u16,
        buffer: *mut u8,
        size: usize,
        iv: *mut u8,
        _: *mut c_void,
    ) -> TSS2_RC;
    fn iesys_cryptmbed_sym_aes_decrypt(
        key: *mut u8,
        algorithm: u16,
        bits: u16,
        mode: u16,
        buffer: *mut u8,
        size: usize,
        iv: *mut u8,
        _: *mut c_void,
    ) -> TSS2_RC;
}

const NONE: *mut c_void = ptr::null_mut();

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash that has been given "abc", in pieces, one of them empty and nowhere.
fn abc() -> Running {
    let mut hash = NONE;
    // SAFETY: variables of this function; null goes with a size of 0.
    unsafe {
        assert_eq!(iesys_cryptmbed_hash_start(&raw mut hash, SHA256, NONE), 0);
        assert_eq!(iesys_cryptmbed_hash_update(hash, b"ab".as_ptr(), 2, NONE), 0);
        assert_eq!(iesys_cryptmbed_hash_update(hash, ptr::null(), 0, NONE), 0);
        assert_eq!(iesys_cryptmbed_hash_update(hash, b"c".as_ptr(), 1, NONE), 0);
    }
    hash
}

#[test]
fn a_finished_hash_cannot_be_finished_again() {
    let mut hash = abc();
    // Larger than needed, and not initialized: it is only written.
    let mut digest = MaybeUninit::<[u8; 64]>::uninit();
    let mut size = 64;
    // SAFETY: as above; a finished hash is null, which every function takes.
    unsafe {
        assert_eq!(iesys_cryptmbed_hash_finish(&raw mut hash, digest.as_mut_ptr().cast(), &raw mut size, NONE), 0);
        assert_eq!((hash, size), (NONE, 32));
        let digest = std::slice::from_raw_parts(digest.as_ptr().cast(), size);
        assert_eq!(hex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut again = [0; 32];
        assert_eq!(iesys_cryptmbed_hash_finish(&raw mut hash, again.as_mut_ptr(), &raw mut size, NONE), BAD_REFERENCE);
        assert_eq!(iesys_cryptmbed_hash_update(hash, b"d".as_ptr(), 1, NONE), BAD_REFERENCE);
        iesys_cryptmbed_hash_abort(&raw mut hash, NONE);
        iesys_cryptmbed_hash_abort(ptr::null_mut(), NONE);
    }
}

#[test]
fn a_short_buffer_is_refused_and_left_unwritten() {
    for (room, to_null) in [(31, false), (0, false), (64, true)] {
        let mut hash = abc();
        let mut buffer = [0xa5; 64];
        let mut size = room;
        let to = if to_null { ptr::null_mut() } else { buffer.as_mut_ptr() };
        // SAFETY: as above.
        let code = unsafe { iesys_cryptmbed_hash_finish(&raw mut hash, to, &raw mut size, NONE) };
        // It is freed all the same.
        assert_eq!((code, hash, buffer), (BAD_REFERENCE, NONE, [0xa5; 64]));
    }
}

#[test]
fn an_aborted_hash_is_freed() {
    let mut hash = abc();
    let mut hmac = NONE;
    // SAFETY: as above.
    unsafe {
        iesys_cryptmbed_hash_abort(&raw mut hash, NONE);
        assert_eq!(iesys_cryptmbed_hmac_start(&raw mut hmac, SHA256, b"key".as_ptr(), 3, NONE), 0);
        iesys_cryptmbed_hmac_abort(&raw mut hmac, NONE);
        assert_eq!((hash, hmac), (NONE, NONE));
        assert_eq!(iesys_cryptmbed_hash_start(&raw mut hash, SHA384, NONE), NOT_IMPLEMENTED);
        assert_eq!(iesys_cryptmbed_hash_start(ptr::null_mut(), SHA256, NONE), BAD_REFERENCE);
        assert_eq!(hash, NONE);
    }
}

/// RFC 4231, section 4.3; and a key that is empty, by null.
#[test]
fn hmacs_equal_rfc_4231() {
    for (key, data, expected) in [
        (
            &b"Jefe"[..],
            &b"what do ya want for nothing?"[..],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[], &[], "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
    ] {
        let (mut hmac, mut digest, mut size) = (NONE, [0; 32], 32);
        let pointer = if key.is_empty() { ptr::null() } else { key.as_ptr() };
        // SAFETY: as above.
        unsafe {
            assert_eq!(iesys_cryptmbed_hmac_start(&raw mut hmac, SHA256, pointer, key.len(), NONE), 0);
            assert_eq!(iesys_cryptmbed_hmac_update(hmac, data.as_ptr(), data.len(), NONE), 0);
            assert_eq!(iesys_cryptmbed_hmac_finish(&raw mut hmac, digest.as_mut_ptr(), &raw mut size, NONE), 0);
        }
        assert_eq!(hex(&digest), expected);
    }
}

/// NIST SP 800-38A, section F.3.13, its first block; then the whole again, in place, of any size.
#[test]
fn aes_cfb_in_place_equals_sp_800_38a() {
    let mut key: Vec<u8> =
        vec![0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 9, 0xcf, 0x4f, 0x3c];
    let mut iv: Vec<u8> = (0..16).collect();
    let plain = [0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a];
    let mut crypt = |crypt: Crypt, bits, buffer: &mut [u8]| {
        // SAFETY: a key and a block of 16 bytes, and a buffer with its size.
        unsafe { crypt(key.as_mut_ptr(), AES, bits, CFB, buffer.as_mut_ptr(), buffer.len(), iv.as_mut_ptr(), NONE) }
    };
    for size in 0..=16 {
        let mut buffer = plain[..size].to_vec();
        assert_eq!(crypt(iesys_cryptmbed_sym_aes_encrypt, 128, &mut buffer), 0);
        assert_eq!(hex(&buffer), "3b3fd92eb72dad20333449f8e83cfb4a"[..2 * size]);
        assert_eq!(crypt(iesys_cryptmbed_sym_aes_decrypt, 128, &mut buffer), 0);
        assert_eq!(buffer, plain[..size]);
    }
    assert_eq!(crypt(iesys_cryptmbed_sym_aes_encrypt, 256, &mut [0; 16]), NOT_IMPLEMENTED);
}

#[test]
fn a_nonce_larger_than_its_buffer_is_refused() {
    let mut nonce = TPM2B_NONCE { size: 0, buffer: [0; 64] };
    // SAFETY: a variable of this function, or null.
    unsafe {
        for (asked, given) in [(0, 64), (16, 16), (64, 64)] {
            assert_eq!(iesys_cryptmbed_random2b(&raw mut nonce, asked, NONE), 0);
            assert_eq!(nonce.size, given);
        }
        assert_eq!(iesys_cryptmbed_random2b(&raw mut nonce, 65, NONE), BAD_VALUE);
        assert_eq!(iesys_cryptmbed_random2b(ptr::null_mut(), 16, NONE), BAD_REFERENCE);
    }
    assert_ne!(nonce.buffer, [0; 64]);
}
