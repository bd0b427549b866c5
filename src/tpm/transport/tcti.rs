//! The link as tpm2-tss wants it: a TCTI context (TSS 2.0 TCTI specification,
//! section 3.2), found through the loader's symbols, which are ours.
//!
//! tss-esapi can open a TCTI by name only, so the name is a formality:
//! [`hand_over`] leaves the open link for the loader to pick up.

use super::{
    link::{Fault, Link, MAX_MESSAGE},
    response,
};
use std::{
    cell::{Cell, RefCell},
    ffi::c_char,
    ptr,
    rc::Rc,
};
use tss_esapi_sys::{
    TSS2_RC, TSS2_TCTI_CONTEXT, TSS2_TCTI_CONTEXT_COMMON_V1, TSS2_TCTI_CONTEXT_COMMON_V2, TSS2_TCTI_INFO, size_t,
};
use zeroize::Zeroizing;

const TCTI: TSS2_RC = 10 << 16;
const NOT_IMPLEMENTED: TSS2_RC = TCTI | 2;
const BAD_REFERENCE: TSS2_RC = TCTI | 5;
const INSUFFICIENT_BUFFER: TSS2_RC = TCTI | 6;
const BAD_SEQUENCE: TSS2_RC = TCTI | 7;
const IO_ERROR: TSS2_RC = TCTI | 10;
const MALFORMED_RESPONSE: TSS2_RC = TCTI | 14;

/// What the layers above do not tell: the last response code as the TPM gave
/// it, and why the link has failed.
#[derive(Default)]
pub struct Status {
    code: Cell<u32>,
    fault: Cell<Option<Fault>>,
    commands: Cell<u32>,
}

impl Status {
    /// Forgets the last response code.
    pub fn clear(&self) {
        self.code.set(0);
    }

    /// The last response code, 0 for success.
    pub fn code(&self) -> u32 {
        self.code.get()
    }

    /// Why the link is of no more use, if it is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Commands sent so far.
    pub fn commands(&self) -> u32 {
        self.commands.get()
    }
}

/// C sees the function table in front, we the rest.
#[repr(C)]
struct Context {
    table: TSS2_TCTI_CONTEXT_COMMON_V2,
    link: Link,
    status: Rc<Status>,
    command: Zeroizing<Vec<u8>>,
    answer: Zeroizing<Vec<u8>>,
    waiting: bool,
}

thread_local! {
    static HANDED_OVER: RefCell<Option<(Link, Rc<Status>)>> = const { RefCell::new(None) };
}

/// Leaves `link` for the next TCTI that this thread initializes.
pub fn hand_over(link: Link) -> Rc<Status> {
    let status = Rc::new(Status::default());
    HANDED_OVER.set(Some((link, Rc::clone(&status))));
    status
}

impl Context {
    fn fail(&mut self, fault: Fault) -> TSS2_RC {
        self.status.fault.set(Some(fault));
        self.waiting = false;
        if fault == Fault::Malformed { MALFORMED_RESPONSE } else { IO_ERROR }
    }

    fn transmit(&mut self, command: &[u8]) -> TSS2_RC {
        if self.status.fault().is_some() {
            return IO_ERROR;
        }
        self.status.commands.set(self.status.commands().saturating_add(1));
        self.command.clear();
        self.command.extend_from_slice(command);
        match self.link.transmit(command) {
            Ok(()) => {
                self.waiting = true;
                0
            }
            Err(fault) => self.fail(fault),
        }
    }

    /// Fetches the answer once; SYS asks for its size first and then for the answer.
    fn fetch(&mut self) -> TSS2_RC {
        if let Err(fault) = self.link.receive(&self.command, &mut self.answer) {
            return self.fail(fault);
        }
        self.waiting = false;
        self.status.code.set(response::code(&self.answer).unwrap_or(0));
        0
    }
}

/// # Safety
/// `context` came from [`Tss2_TctiLdr_Initialize`] and is not in use elsewhere.
unsafe fn ours<'a>(context: *mut TSS2_TCTI_CONTEXT) -> Option<&'a mut Context> {
    // SAFETY: the caller's promise.
    unsafe { context.cast::<Context>().as_mut() }
}

unsafe extern "C" fn transmit(context: *mut TSS2_TCTI_CONTEXT, size: size_t, command: *const u8) -> TSS2_RC {
    // SAFETY: tpm2-tss passes the context that it got from the loader.
    let Some(context) = (unsafe { ours(context) }) else { return BAD_REFERENCE };
    if command.is_null() {
        return BAD_REFERENCE;
    }
    // SAFETY: not null, and `size` bytes by the TCTI contract.
    context.transmit(unsafe { std::slice::from_raw_parts(command, size as usize) })
}

/// Waits for the answer as long as the link allows, whatever `timeout` says:
/// the synchronous calls above always say "for ever".
unsafe extern "C" fn receive(
    context: *mut TSS2_TCTI_CONTEXT,
    size: *mut size_t,
    response: *mut u8,
    _timeout: i32,
) -> TSS2_RC {
    // SAFETY: as in `transmit`; `size` is the caller's variable.
    let (Some(context), Some(size)) = (unsafe { (ours(context), size.as_mut()) }) else { return BAD_REFERENCE };
    if context.waiting {
        let rc = context.fetch();
        if rc != 0 {
            return rc;
        }
    }
    let answer = &mut context.answer;
    if answer.is_empty() {
        return BAD_SEQUENCE;
    }
    let room = *size as usize;
    *size = answer.len() as size_t;
    if response.is_null() {
        return 0;
    }
    if room < answer.len() {
        return INSUFFICIENT_BUFFER;
    }
    // SAFETY: `response` has room for `room` bytes by the TCTI contract, and the answer is no longer.
    unsafe { ptr::copy_nonoverlapping(answer.as_ptr(), response, answer.len()) };
    answer.clear();
    0
}

/// Finds the link that was handed over. The name, a formality, is not looked at.
#[unsafe(no_mangle)]
unsafe extern "C" fn Tss2_TctiLdr_Initialize(_name: *const c_char, out: *mut *mut TSS2_TCTI_CONTEXT) -> TSS2_RC {
    let (Some((link, status)), false) = (HANDED_OVER.take(), out.is_null()) else { return BAD_REFERENCE };
    let context = Box::new(Context {
        table: TSS2_TCTI_CONTEXT_COMMON_V2 {
            v1: TSS2_TCTI_CONTEXT_COMMON_V1 {
                magic: u64::from_be_bytes(*b"trust\0\0\0"),
                version: 2,
                transmit: Some(transmit),
                receive: Some(receive),
                ..Default::default()
            },
            ..Default::default()
        },
        link,
        status,
        command: Zeroizing::new(Vec::with_capacity(MAX_MESSAGE)),
        answer: Zeroizing::new(Vec::with_capacity(MAX_MESSAGE)),
        waiting: false,
    });
    // SAFETY: not null; the box is given back by Tss2_TctiLdr_Finalize.
    unsafe { *out = Box::into_raw(context).cast() };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn Tss2_TctiLdr_Finalize(context: *mut *mut TSS2_TCTI_CONTEXT) {
    // SAFETY: the caller's variable, holding what Tss2_TctiLdr_Initialize gave or null.
    unsafe {
        if let Some(held) = context.as_mut()
            && !held.is_null()
        {
            drop(Box::from_raw(ptr::replace(held, ptr::null_mut()).cast::<Context>()));
        }
    }
}

/// tss-esapi names it; nothing here asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn Tss2_TctiLdr_GetInfo(_name: *const c_char, _info: *mut *mut TSS2_TCTI_INFO) -> TSS2_RC {
    NOT_IMPLEMENTED
}

/// As above.
#[unsafe(no_mangle)]
unsafe extern "C" fn Tss2_TctiLdr_FreeInfo(_info: *mut *mut TSS2_TCTI_INFO) {}
