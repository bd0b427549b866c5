//! Memory is wiped before it is given back, in Rust and in tpm2-tss alike, so
//! that what passed through the buffers of libraries does not outlive them.

#![allow(unsafe_code, reason = "the allocator, which wipes what is freed, in C too, and says when nothing is left")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ffi::c_void,
    hint::black_box,
};
use zeroize::Zeroize;

/// The system's allocator, with every block wiped when it is freed.
///
/// `realloc` is the trait's own: allocate, copy, free; so nothing moves unwiped.
struct Wiping;

// SAFETY: every call goes to `System`, with the layout that it was given.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, `layout.size()` bytes, until `System` has it back.
        unsafe {
            std::slice::from_raw_parts_mut(ptr, layout.size()).zeroize();
            System.dealloc(ptr, layout);
        }
    }
}

/// Ends the administrator's program where there is no memory left, with a word and the status of a system call. In the
/// initrd, and wherever a TPM is open, the runtime aborts as ever.
fn or_end(block: *mut u8) -> *mut u8 {
    #[cfg(feature = "host")]
    if block.is_null() && !crate::guard::is_armed() {
        let text = b"trust: cannot go on: there is no memory left; give it more, or raise the limit (`ulimit -v`)\n";
        // A failure could not be reported.
        let _ = rustix::io::write(rustix::stdio::stderr(), text);
        // SAFETY: nothing of this process runs after it.
        unsafe { nix::libc::_exit(i32::from(crate::error::Kind::System.exit_status())) }
    }
    block
}

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

unsafe extern "C" {
    fn malloc_usable_size(ptr: *mut c_void) -> usize;
    fn free(ptr: *mut c_void);
}

/// What build.rs makes of every `free` in tpm2-tss.
///
/// # Safety
/// `ptr` is null or a live block of the C library's allocator, as for free(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn trust_wipe_and_free(ptr: *mut c_void) {
    if ptr.is_null() {
        return;
    }
    // SAFETY: the block is live, and malloc_usable_size(3) says how much of it may be written.
    unsafe {
        std::slice::from_raw_parts_mut(ptr.cast::<u8>(), malloc_usable_size(ptr)).zeroize();
        free(ptr);
    }
}

/// Bytes of stack wiped by [`wipe_stack`]: more than the deepest call into tpm2-tss uses.
const STACK: usize = 96 * 1024;

/// Wipes the stack below the caller, where calls that have returned left their locals.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0u8; STACK];
    below.zeroize();
    black_box(&mut below);
}
