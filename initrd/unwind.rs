//! Nothing unwinds, since a panic aborts, and nobody prints a backtrace: the tables are left out when linking
//! (`unwind.ld`). These functions stand in for libunwind's, so that it, and the code of Rust's library that would read
//! debug information for a backtrace, is left out as well: a fifth of the program.

#![allow(unsafe_code, reason = "named as C names them, for Rust's own library")]

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

/// There is no caller to show.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Functions that are called while something unwinds, or for a frame of a backtrace.
macro_rules! never_called {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            std::process::abort()
        }
    )*};
}

never_called! {
    _Unwind_FindEnclosingFunction
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_Resume
    _Unwind_SetGR
    _Unwind_SetIP
}
