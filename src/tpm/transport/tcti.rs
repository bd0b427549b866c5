//! The link as tpm2-tss wants it: a TCTI context (TSS 2.0 TCTI specification,
//! section 3.2), found through the loader's symbols, which are ours.
//!
//! tss-esapi can open a TCTI by name only, so the name is a formality:
//! [`hand_over`] leaves the open link for the loader to pick up.

#![allow(unsafe_code, reason = "called by tpm2-tss, in C, by way of a table of functions")]

use super::{
    fault::Fault,
    link::{Link, MAX_MESSAGE},
    response,
};
use crate::error;
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

/// The link with what the layers above do not tell: the last response code as
/// the TPM gave it, and why the link has failed.
pub struct Wire {
    /// None where it could not be opened again.
    link: RefCell<Option<Link>>,
    code: Cell<u32>,
    fault: Cell<Option<Fault>>,
    commands: Cell<u32>,
    has_worked: Cell<bool>,
}

impl Wire {
    /// A wire on which nothing has been sent yet.
    pub fn new(link: Link) -> Self {
        Self {
            link: RefCell::new(Some(link)),
            code: Cell::default(),
            fault: Cell::default(),
            commands: Cell::default(),
            has_worked: Cell::default(),
        }
    }

    /// Goes on over another link to the same TPM. The old one is closed first: some devices are opened once at a time.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn mend(&self, open: impl FnOnce() -> error::Result<Link>) -> error::Result<()> {
        drop(self.link.take());
        self.link.replace(Some(open()?));
        self.fault.set(None);
        Ok(())
    }

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

    /// Whether a TPM 2.0 has ever done what it was told.
    pub fn has_worked(&self) -> bool {
        self.has_worked.get()
    }

    /// Sends a command that ESYS or its bindings do not know, and receives its response.
    ///
    /// # Errors
    /// The link is of no more use. What the TPM says is [`Self::code`].
    pub fn exchange(&self, command: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut response = Vec::new();
        self.transmit(command)?;
        self.receive(command, &mut response)?;
        Ok(response)
    }

    fn transmit(&self, command: &[u8]) -> Result<(), Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        self.commands.set(self.commands().saturating_add(1));
        self.with_link(|link| link.transmit(command))
    }

    fn receive(&self, command: &[u8], response: &mut Vec<u8>) -> Result<(), Fault> {
        self.with_link(|link| link.receive(command, response))?;
        let code = response::code(response).unwrap_or(0);
        self.code.set(code);
        self.has_worked.set(self.has_worked() || code == 0);
        Ok(())
    }

    fn with_link(&self, act: impl FnOnce(&mut Link) -> Result<(), Fault>) -> Result<(), Fault> {
        let outcome = self.link.borrow_mut().as_mut().map_or(Err(Fault::Closed), act);
        outcome.inspect_err(|fault| self.fault.set(Some(*fault)))
    }
}

/// C sees the function table in front, we the rest.
#[repr(C)]
struct Context {
    table: TSS2_TCTI_CONTEXT_COMMON_V2,
    wire: Rc<Wire>,
    command: Zeroizing<Vec<u8>>,
    response: Zeroizing<Vec<u8>>,
    waiting: bool,
}

thread_local! {
    static HANDED_OVER: RefCell<Option<Rc<Wire>>> = const { RefCell::new(None) };
}

/// Leaves `wire` for the next TCTI that this thread initializes.
pub fn hand_over(wire: &Rc<Wire>) {
    HANDED_OVER.set(Some(Rc::clone(wire)));
}

/// How SYS is told of a fault; [`Wire::fault`] says which.
const fn rc(fault: Fault) -> TSS2_RC {
    if matches!(fault, Fault::Malformed) { MALFORMED_RESPONSE } else { IO_ERROR }
}

impl Context {
    fn transmit(&mut self, command: &[u8]) -> TSS2_RC {
        self.command.clear();
        self.command.extend_from_slice(command);
        self.waiting = true;
        self.wire.transmit(command).map_or_else(rc, |()| 0)
    }

    /// Fetches the response once; SYS asks for its size first and then for the response.
    fn fetch(&mut self) -> TSS2_RC {
        self.waiting = false;
        self.wire.receive(&self.command, &mut self.response).map_or_else(rc, |()| 0)
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

/// Waits for the response as long as the link allows, whatever `timeout` says:
/// the synchronous calls above always say "for ever".
unsafe extern "C" fn receive(
    context: *mut TSS2_TCTI_CONTEXT,
    size: *mut size_t,
    buffer: *mut u8,
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
    let response = &mut context.response;
    if response.is_empty() {
        return BAD_SEQUENCE;
    }
    let room = *size as usize;
    *size = response.len() as size_t;
    if buffer.is_null() {
        return 0;
    }
    if room < response.len() {
        return INSUFFICIENT_BUFFER;
    }
    // SAFETY: `buffer` has room for `room` bytes by the TCTI contract, and the response is no longer.
    unsafe { ptr::copy_nonoverlapping(response.as_ptr(), buffer, response.len()) };
    response.clear();
    0
}

/// Finds the link that was handed over. The name, a formality, is not looked at.
#[unsafe(no_mangle)]
unsafe extern "C" fn Tss2_TctiLdr_Initialize(_name: *const c_char, out: *mut *mut TSS2_TCTI_CONTEXT) -> TSS2_RC {
    let (Some(wire), false) = (HANDED_OVER.take(), out.is_null()) else { return BAD_REFERENCE };
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
        wire,
        command: Zeroizing::new(Vec::with_capacity(MAX_MESSAGE)),
        response: Zeroizing::new(Vec::with_capacity(MAX_MESSAGE)),
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
