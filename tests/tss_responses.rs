//! What tpm2-tss makes of answers that lie about their sizes.
//!
//! Upstream's 4.1.3 believes them; the patches in src/tpm/tss2 teach it not to.
//! Here its SYS, MU and ESYS layers are called directly, past the program's own
//! checks. With the source as upstream released it seven of the nine tests fail.

#![allow(unsafe_code, reason = "calls tpm2-tss as C does, past the bindings")]

use std::{ptr, slice};
// It brings the C code, and the functions that the C code needs.
use trust as _;
use tss_esapi_sys::*;

/// Bytes that no response of these tests contains: if they come out, uninitialized memory was read.
const CANARY: u8 = 0xa5;
/// Room for a command or response.
const ROOM: usize = 1024;

const SESSIONS: u16 = 0x8002;
const NO_SESSIONS: u16 = 0x8001;
const RETRY: u32 = 0x922;
const PASSWORD_SESSION: u32 = 0x4000_0009;

const MALFORMED_RESPONSE: TSS2_RC = (8 << 16) | 17;

/// A TPM that gives one answer to everything. C sees the function table in front.
#[repr(C)]
struct FalseTpm {
    table: TSS2_TCTI_CONTEXT_COMMON_V1,
    answer: Vec<u8>,
}

unsafe extern "C" fn transmit(_: *mut TSS2_TCTI_CONTEXT, _: size_t, _: *const u8) -> TSS2_RC {
    0
}

unsafe extern "C" fn receive(context: *mut TSS2_TCTI_CONTEXT, size: *mut size_t, to: *mut u8, _: i32) -> TSS2_RC {
    // SAFETY: the context is a `FalseTpm`; SYS gives a valid size, and a buffer of ROOM bytes or null.
    unsafe {
        let answer = &(*context.cast::<FalseTpm>()).answer;
        *size = answer.len() as size_t;
        if !to.is_null() {
            let buffer = slice::from_raw_parts_mut(to, ROOM);
            buffer.fill(CANARY);
            buffer[..answer.len()].copy_from_slice(answer);
        }
    }
    0
}

/// A SYS context on top of a [`FalseTpm`].
struct Sys {
    context: Vec<u64>,
    // Its address is in the context.
    _liar: Box<FalseTpm>,
}

impl Sys {
    fn new(answer: &[u8]) -> Self {
        let table = TSS2_TCTI_CONTEXT_COMMON_V1 {
            magic: 0,
            version: 1,
            transmit: Some(transmit),
            receive: Some(receive),
            finalize: None,
            cancel: None,
            getPollHandles: None,
            setLocality: None,
        };
        let mut liar = Box::new(FalseTpm { table, answer: answer.to_vec() });
        // SAFETY: plain arithmetic.
        let size = unsafe { Tss2_Sys_GetContextSize(ROOM as size_t) };
        let mut context = vec![0u64; usize::try_from(size).unwrap().div_ceil(8)];
        // SAFETY: as many bytes as asked for, aligned, and a TCTI that lives as long as the context.
        let code = unsafe {
            let tcti = ptr::from_mut(&mut *liar).cast();
            Tss2_Sys_Initialize(context.as_mut_ptr().cast(), size, tcti, ptr::null_mut())
        };
        assert_eq!(code, 0);
        Self { context, _liar: liar }
    }

    fn raw(&mut self) -> *mut TSS2_SYS_CONTEXT {
        self.context.as_mut_ptr().cast()
    }
}

fn check(code: TSS2_RC) -> Result<(), TSS2_RC> {
    if code == 0 { Ok(()) } else { Err(code) }
}

/// All that SYS hands out of an answer to TPM2_NV_Read, called as ESYS calls it.
fn nv_read(answer: &[u8]) -> Result<Vec<Vec<u8>>, TSS2_RC> {
    let mut sys = Sys::new(answer);
    let raw = sys.raw();
    // SAFETY: an initialized context, and places of the right types for results; the
    // buffers that SYS returns are checked against the answer before they are read.
    unsafe {
        check(Tss2_Sys_NV_Read_Prepare(raw, 0x0150_0040, 0x0150_0040, 40, 0))?;
        let mut commands: TSS2L_SYS_AUTH_COMMAND = std::mem::zeroed();
        commands.count = 1;
        commands.auths[0].sessionHandle = PASSWORD_SESSION;
        check(Tss2_Sys_SetCmdAuths(raw, &raw const commands))?;
        check(Tss2_Sys_ExecuteAsync(raw))?;
        check(Tss2_Sys_ExecuteFinish(raw, -1))?;
        let mut auths: TSS2L_SYS_AUTH_RESPONSE = std::mem::zeroed();
        check(Tss2_Sys_GetRspAuths(raw, &raw mut auths))?;
        let (mut size, mut buffer) = (0, ptr::null());
        let mut out = Vec::new();
        check(Tss2_Sys_GetRpBuffer(raw, &raw mut size, &raw mut buffer))?;
        out.push(received(size, buffer, answer));
        check(Tss2_Sys_GetEncryptParam(raw, &raw mut size, &raw mut buffer))?;
        out.push(received(size, buffer, answer));
        let mut data: TPM2B_MAX_NV_BUFFER = std::mem::zeroed();
        check(Tss2_Sys_NV_Read_Complete(raw, &raw mut data))?;
        out.push(data.buffer[..usize::from(data.size)].to_vec());
        out.push(auths.auths[0].nonce.buffer[..usize::from(auths.auths[0].nonce.size)].to_vec());
        out.push(auths.auths[0].hmac.buffer[..usize::from(auths.auths[0].hmac.size)].to_vec());
        Ok(out)
    }
}

/// Copies a part of the answer; more than was received must not be asked for.
///
/// # Safety
/// `buffer` is valid for as many bytes as `answer` has.
unsafe fn received(size: size_t, buffer: *const u8, answer: &[u8]) -> Vec<u8> {
    let size = usize::try_from(size).unwrap();
    assert!(size <= answer.len(), "{size} bytes of an answer of {}", answer.len());
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(buffer, size) }.to_vec()
}

/// A response: header, then what follows it.
fn response(tag: u16, code: u32, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let size = u32::try_from(10 + rest.len()).unwrap();
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), &rest].concat()
}

/// A size and as many bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// What a TPM answers to TPM2_NV_Read with one session.
fn honest() -> Vec<u8> {
    let parameter = sized(b"trust-0123456789abcdef0123456789abcdef01");
    let size = u32::try_from(parameter.len()).unwrap().to_be_bytes();
    response(SESSIONS, 0, &[&size, &parameter, &sized(&[0x11; 32]), &[1], &sized(&[0x22; 32])])
}

fn replaced(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut answer = honest();
    answer[at..at + bytes.len()].copy_from_slice(bytes);
    answer
}

#[test]
fn a_genuine_response_is_parsed() {
    let out = nv_read(&honest()).unwrap();
    let data = b"trust-0123456789abcdef0123456789abcdef01".to_vec();
    assert_eq!(out, [sized(&data), data.clone(), data, vec![0x11; 32], vec![0x22; 32]]);
}

#[test]
fn a_wrong_response_size_is_malformed() {
    let len = u32::try_from(honest().len()).unwrap();
    for size in [0, 9, 10, len - 1, len + 1, u32::try_from(ROOM).unwrap(), u32::MAX] {
        let outcome = nv_read(&replaced(2, &size.to_be_bytes()));
        assert_eq!(outcome, Err(MALFORMED_RESPONSE), "{size} announced, {len} sent");
    }
}

#[test]
fn parameters_beyond_the_response_are_malformed() {
    let len = u32::try_from(honest().len()).unwrap();
    for size in [len - 13, len, 0x8000_0000, u32::MAX - 13, u32::MAX] {
        assert_eq!(nv_read(&replaced(10, &size.to_be_bytes())), Err(MALFORMED_RESPONSE), "{size}");
    }
}

#[test]
fn a_first_parameter_beyond_the_parameters_is_malformed() {
    for size in [41u16, 43, 110, 512, u16::MAX] {
        assert_eq!(nv_read(&replaced(14, &size.to_be_bytes())), Err(MALFORMED_RESPONSE), "{size}");
    }
}

#[test]
fn an_error_with_more_than_a_header_is_malformed() {
    assert_eq!(nv_read(&response(NO_SESSIONS, RETRY, &[])), Err(RETRY));
    assert_eq!(nv_read(&response(NO_SESSIONS, RETRY, &[&[0x33; 64]])), Err(MALFORMED_RESPONSE));
}

#[test]
fn a_missing_handle_is_malformed() {
    let load = |answer: &[u8]| {
        let mut sys = Sys::new(answer);
        let raw = sys.raw();
        let (mut handle, mut context) = (0, TPMS_CONTEXT::default());
        context.hierarchy = 0x4000_0007;
        // SAFETY: an initialized context, and places of the right types.
        unsafe {
            check(Tss2_Sys_ContextLoad_Prepare(raw, &raw const context))?;
            check(Tss2_Sys_ExecuteAsync(raw))?;
            check(Tss2_Sys_ExecuteFinish(raw, -1))?;
            check(Tss2_Sys_ContextLoad_Complete(raw, &raw mut handle)).map(|()| handle)
        }
    };
    assert_eq!(load(&response(NO_SESSIONS, 0, &[&[0x80, 0, 0, 1]])), Ok(0x8000_0001));
    for sent in [&[][..], &[0x80], &[0x80, 0, 0]] {
        assert_eq!(load(&response(NO_SESSIONS, 0, &[sent])), Err(MALFORMED_RESPONSE), "{sent:?}");
    }
}

/// Cut anywhere, and with any number made anything: nothing comes out that was not received.
#[test]
fn false_sizes_yield_no_uninitialized_memory() {
    let honest = honest();
    let mut lies: Vec<Vec<u8>> = (0..honest.len()).map(|end| honest[..end].to_vec()).collect();
    for mut cut in lies.clone().into_iter().filter(|cut| cut.len() >= 10) {
        let size = u32::try_from(cut.len()).unwrap();
        cut[2..6].copy_from_slice(&size.to_be_bytes());
        lies.push(cut);
    }
    for at in 0..honest.len() - 1 {
        for number in [0u16, 1, 2, 31, 33, 64, 100, 255, 256, 1000, 0x7fff, 0x8001, 0xfffe, u16::MAX] {
            lies.push(replaced(at, &number.to_be_bytes()));
        }
    }
    for lie in lies {
        if let Ok(out) = nv_read(&lie) {
            assert!(out.iter().flatten().all(|byte| *byte != CANARY), "{lie:02x?} gave {out:02x?}");
        }
    }
}

#[test]
fn a_tpm2b_with_a_wrong_size_is_refused() {
    let unmarshal = |bytes: &[u8]| {
        let (mut point, mut offset) = (TPM2B_ECC_POINT::default(), 0);
        // SAFETY: as many bytes as are said, and places of the right types.
        let code = unsafe {
            let size = bytes.len() as size_t;
            Tss2_MU_TPM2B_ECC_POINT_Unmarshal(bytes.as_ptr(), size, &raw mut offset, &raw mut point)
        };
        check(code).map(|()| (offset, point.point.x.size, point.point.y.size))
    };
    let point = [sized(&[1; 32]), sized(&[2; 32])].concat();
    assert_eq!(unmarshal(&sized(&point)), Ok((70, 32, 32)));
    // The point ends behind its TPM2B, though in the buffer.
    let short = [&66u16.to_be_bytes()[..], &point, &[3; 8]].concat();
    assert!(unmarshal(&short).is_err());
    // It ends before.
    assert!(unmarshal(&sized(&[&point[..], &[3; 8]].concat())).is_err());
    // It cannot be unmarshaled at all.
    assert!(unmarshal(&sized(&[0xff; 68])).is_err());
}

#[test]
fn a_saved_session_that_exceeds_its_buffer_is_refused() {
    unsafe extern "C" {
        /// Declared in tpm2-tss' own esys_mu.h; `session` is an `IESYS_SESSION`.
        fn iesys_MU_IESYS_SESSION_Unmarshal(
            from: *const u8,
            size: size_t,
            offset: *mut size_t,
            session: *mut u8,
        ) -> TSS2_RC;
    }
    let unmarshal = |value: &[u8], hmac_size: u16| {
        let empty = sized(&[]);
        let symmetric_null = [0x00, 0x10];
        let sha256 = [0x00, 0x0b];
        let (policy, attributes) = ([1], [0]);
        let flags = [0; 12];
        let bytes = [
            // Bound entity, encrypted salt, salt.
            &[&empty[..], &empty, &empty, &symmetric_null, &sha256].concat()[..],
            // Session key; nonces of caller and TPM; whether parameters are encrypted, and what policy asks for.
            &[&empty[..], &policy, &attributes, &empty, &empty, &flags].concat(),
            &sized(value),
            &hmac_size.to_be_bytes(),
        ]
        .concat();
        // Far more than an IESYS_SESSION: whatever is written stays in here.
        let mut session = vec![0u64; 16 * 1024];
        let mut offset = 0;
        // SAFETY: as many bytes as are said, and room for a session and 64 KiB beyond.
        unsafe {
            let to = session.as_mut_ptr().cast();
            iesys_MU_IESYS_SESSION_Unmarshal(bytes.as_ptr(), bytes.len() as size_t, &raw mut offset, to)
        }
    };
    assert_eq!(unmarshal(&[7; 64], 32), 0);
    assert_ne!(unmarshal(&[7; 4096], 32), 0);
    assert_ne!(unmarshal(&[7; 32], 33), 0);
}
