//! The crypto backend of ESYS, in Rust.
//!
//! build.rs compiles tpm2-tss with `-DMBED` and without its mbedTLS file; the
//! symbols below stand in for it (declared in its `esys_crypto_mbed.h`). Only
//! what Trust's sessions need is there: SHA-256, HMAC, AES-128-CFB and ECDH on
//! P-256. Everything else answers "not implemented".

#![allow(unsafe_code, reason = "called by ESYS, in C, with pointers to its buffers")]

use crate::tpm2::{
    cfb,
    constants::{alg, curve},
    ecdh,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::{
    ffi::{c_char, c_void},
    ptr, slice,
};
use tss_esapi_sys::{
    TPM2B_ECC_PARAMETER, TPM2B_NONCE, TPM2B_PUBLIC, TPMS_ECC_POINT, TSS2_RC, Tss2_MU_TPMS_ECC_POINT_Marshal,
};

/// Return codes of the ESYS layer (TSS 2.0 Overview and Common Structures, section 3.3).
const ESYS: TSS2_RC = 7 << 16;
const SUCCESS: TSS2_RC = 0;
const GENERAL_FAILURE: TSS2_RC = ESYS | 1;
const NOT_IMPLEMENTED: TSS2_RC = ESYS | 2;
const BAD_REFERENCE: TSS2_RC = ESYS | 5;
const BAD_VALUE: TSS2_RC = ESYS | 11;

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// A running hash or HMAC; C holds it by pointer only.
pub enum Running {
    Hash(Sha256),
    Hmac(Hmac<Sha256>),
}

/// Bytes that C hands in.
///
/// # Safety
/// `data` is valid for `size` bytes, or `size` is 0.
const unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, size) }
}

/// Gives `running` to C.
///
/// # Safety
/// `out` is null or may be written.
unsafe fn start(out: *mut *mut Running, running: Running) -> TSS2_RC {
    if out.is_null() {
        return BAD_REFERENCE;
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { *out = Box::into_raw(Box::new(running)) };
    SUCCESS
}

/// Takes it back from C, if C has one.
///
/// # Safety
/// `running` is null or points to a pointer that [`start`] has written, or to null.
unsafe fn take(running: *mut *mut Running) -> Option<Running> {
    // SAFETY: the caller's promise.
    let held = unsafe { running.as_mut() }?;
    if held.is_null() {
        return None;
    }
    // SAFETY: it came from Box::into_raw in `start`, and C's pointer is cleared so that it is not taken twice.
    let boxed = unsafe { Box::from_raw(ptr::replace(held, ptr::null_mut())) };
    Some(*boxed)
}

/// # Safety
/// `running` is null or came from [`start`]; `data` is valid for `size` bytes.
unsafe fn update(running: *mut Running, data: *const u8, size: usize) -> TSS2_RC {
    // SAFETY: the caller's promise.
    let (running, data) = unsafe { (running.as_mut(), bytes(data, size)) };
    match running {
        None => return BAD_REFERENCE,
        Some(Running::Hash(hash)) => Digest::update(hash, data),
        Some(Running::Hmac(hmac)) => Mac::update(hmac, data),
    }
    SUCCESS
}

/// # Safety
/// As [`take`]; `buffer` has room for `*size` bytes.
unsafe fn finish(running: *mut *mut Running, buffer: *mut u8, size: *mut usize) -> TSS2_RC {
    // SAFETY: the caller's promise.
    let (Some(running), Some(size)) = (unsafe { take(running) }, unsafe { size.as_mut() }) else {
        return BAD_REFERENCE;
    };
    let digest: [u8; 32] = match running {
        Running::Hash(hash) => hash.finalize().into(),
        Running::Hmac(hmac) => hmac.finalize().into_bytes().into(),
    };
    if buffer.is_null() || *size < digest.len() {
        return BAD_REFERENCE;
    }
    // SAFETY: room for at least the digest, as just compared.
    unsafe { ptr::copy_nonoverlapping(digest.as_ptr(), buffer, digest.len()) };
    *size = digest.len();
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_init(_: *mut c_void) -> TSS2_RC {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hash_start(out: *mut *mut Running, algorithm: u16, _: *mut c_void) -> TSS2_RC {
    if algorithm != alg::SHA256 {
        return NOT_IMPLEMENTED;
    }
    // SAFETY: `out` is ESYS' own variable.
    unsafe { start(out, Running::Hash(Sha256::new())) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hash_update(
    hash: *mut Running,
    data: *const u8,
    size: usize,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: ESYS passes what it got from hash_start, and a buffer with its size.
    unsafe { update(hash, data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hash_finish(
    hash: *mut *mut Running,
    buffer: *mut u8,
    size: *mut usize,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: as above.
    unsafe { finish(hash, buffer, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hash_abort(hash: *mut *mut Running, _: *mut c_void) {
    // SAFETY: as above.
    drop(unsafe { take(hash) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hmac_start(
    out: *mut *mut Running,
    algorithm: u16,
    key: *const u8,
    size: usize,
    _: *mut c_void,
) -> TSS2_RC {
    if algorithm != alg::SHA256 {
        return NOT_IMPLEMENTED;
    }
    // SAFETY: ESYS passes a key with its size.
    match <Hmac<Sha256> as KeyInit>::new_from_slice(unsafe { bytes(key, size) }) {
        // SAFETY: `out` is ESYS' own variable.
        Ok(hmac) => unsafe { start(out, Running::Hmac(hmac)) },
        Err(_) => GENERAL_FAILURE,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hmac_update(
    hmac: *mut Running,
    data: *const u8,
    size: usize,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: as for the hash.
    unsafe { update(hmac, data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hmac_finish(
    hmac: *mut *mut Running,
    buffer: *mut u8,
    size: *mut usize,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: as for the hash.
    unsafe { finish(hmac, buffer, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_hmac_abort(hmac: *mut *mut Running, _: *mut c_void) {
    // SAFETY: as for the hash.
    drop(unsafe { take(hmac) });
}

/// Fills a nonce of `size` bytes; 0 asks for a whole buffer.
#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_random2b(nonce: *mut TPM2B_NONCE, size: usize, _: *mut c_void) -> TSS2_RC {
    // SAFETY: ESYS passes its own variable.
    let Some(nonce) = (unsafe { nonce.as_mut() }) else { return BAD_REFERENCE };
    let size = if size == 0 { nonce.buffer.len() } else { size };
    let (Some(buffer), Ok(written)) = (nonce.buffer.get_mut(..size), u16::try_from(size)) else { return BAD_VALUE };
    if getrandom::fill(buffer).is_err() {
        return GENERAL_FAILURE;
    }
    nonce.size = written;
    SUCCESS
}

/// The bytes of a coordinate.
fn coordinate(parameter: &TPM2B_ECC_PARAMETER) -> Option<&[u8]> {
    parameter.buffer.get(..usize::from(parameter.size))
}

/// Stores a value of the size of the field.
fn store(parameter: &mut TPM2B_ECC_PARAMETER, value: &[u8]) -> Option<()> {
    parameter.buffer.get_mut(..value.len())?.copy_from_slice(value);
    parameter.size = u16::try_from(value.len()).ok()?;
    Some(())
}

/// One ECDH key exchange with `peer`: the shared secret's x coordinate and our public point.
fn exchange(peer: &TPMS_ECC_POINT, z: &mut TPM2B_ECC_PARAMETER, q: &mut TPMS_ECC_POINT) -> Option<()> {
    let shared = ecdh::exchange(coordinate(&peer.x)?, coordinate(&peer.y)?)?;
    store(z, &*shared.z)?;
    store(&mut q.x, &shared.x)?;
    store(&mut q.y, &shared.y)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_get_ecdh_point(
    key: *mut TPM2B_PUBLIC,
    max_out_size: usize,
    z: *mut TPM2B_ECC_PARAMETER,
    q: *mut TPMS_ECC_POINT,
    out: *mut u8,
    out_size: *mut usize,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: ESYS passes its own variables.
    let (Some(key), Some(z), Some(q), Some(out_size)) =
        (unsafe { (key.as_ref(), z.as_mut(), q.as_mut(), out_size.as_mut()) })
    else {
        return BAD_REFERENCE;
    };
    // SAFETY: iesys asks for a point of ECC keys only; any bits are valid for either union.
    let (curve, peer) = unsafe { (key.publicArea.parameters.eccDetail.curveID, &key.publicArea.unique.ecc) };
    if curve != curve::NIST_P256 {
        return NOT_IMPLEMENTED;
    }
    if exchange(peer, z, q).is_none() {
        return GENERAL_FAILURE;
    }
    let mut written = 0;
    // SAFETY: `out` has room for `max_out_size` bytes, which MU keeps to.
    let rc = unsafe { Tss2_MU_TPMS_ECC_POINT_Marshal(q, out, max_out_size as _, &raw mut written) };
    *out_size = written as usize;
    rc
}

/// RSA salt keys are not used: the SRK is ECC.
#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_pk_encrypt(
    _key: *mut TPM2B_PUBLIC,
    _in_size: usize,
    _in: *mut u8,
    _max_out_size: usize,
    _out: *mut u8,
    _out_size: *mut usize,
    _label: *const c_char,
    _: *mut c_void,
) -> TSS2_RC {
    NOT_IMPLEMENTED
}

/// One direction of a cipher: key, initialization vector, what it works on in place.
type Crypt = fn(&[u8], &[u8], &mut [u8]) -> Option<()>;

/// AES-128-CFB over `buffer` in place.
///
/// # Safety
/// `key` and `iv` are valid for 16 bytes, `buffer` for `size`.
unsafe fn crypt(
    cipher: Crypt,
    (key, algorithm, bits, mode): (*const u8, u16, u16, u16),
    buffer: *mut u8,
    size: usize,
    iv: *const u8,
) -> TSS2_RC {
    if key.is_null() || buffer.is_null() || iv.is_null() {
        return BAD_REFERENCE;
    }
    if algorithm != alg::AES || mode != alg::CFB {
        return BAD_VALUE;
    }
    if bits != 128 {
        return NOT_IMPLEMENTED;
    }
    // SAFETY: not null, and the caller's promise.
    let (key, iv, buffer) = unsafe { (bytes(key, BLOCK), bytes(iv, BLOCK), slice::from_raw_parts_mut(buffer, size)) };
    cipher(key, iv, buffer).map_or(GENERAL_FAILURE, |()| SUCCESS)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_sym_aes_encrypt(
    key: *mut u8,
    algorithm: u16,
    bits: u16,
    mode: u16,
    buffer: *mut u8,
    size: usize,
    iv: *mut u8,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: ESYS passes a key of `bits`, one block of IV, and a buffer with its size.
    unsafe { crypt(cfb::encrypt, (key, algorithm, bits, mode), buffer, size, iv) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn iesys_cryptmbed_sym_aes_decrypt(
    key: *mut u8,
    algorithm: u16,
    bits: u16,
    mode: u16,
    buffer: *mut u8,
    size: usize,
    iv: *mut u8,
    _: *mut c_void,
) -> TSS2_RC {
    // SAFETY: as for encryption.
    unsafe { crypt(cfb::decrypt, (key, algorithm, bits, mode), buffer, size, iv) }
}
