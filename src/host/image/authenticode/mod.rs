//! Authenticode: PE images signed and verified (Windows Authenticode Portable Executable Signature Format; UEFI Specification 2.10, section 32.5).
//!
//! - `digest`: what a signature is over, byte for byte as firmware sees it, and which bytes escape it;
//! - `content`: what is signed in place of the image;
//! - `sign`, `verify`: the certificate table written and judged;
//! - `chain`: from the signer to a certificate that is trusted.
//!
//! What no signature covers, and `verify` therefore looks at in other ways or not at all:
//!
//! | bytes | what becomes of them |
//! |---|---|
//! | `CheckSum` | noted when it is neither right nor 0, which means none: no firmware looks |
//! | the certificate table's place in the data directory | must be the end of the file |
//! | gaps between sections, padding between and after signatures | must be zeros |
//! | data after the certificate table, or in it behind the last signature | refused |
//! | a signature's certificates that are not on the way to the one given, its other lists, attributes that are not signed (timestamps, nested signatures) | not believed: nothing follows from them |
//! | further signatures | each judged for itself; one suffices, as it does for firmware |

mod chain;
mod content;
mod digest;
mod sign;
mod verify;

pub use digest::{digest, digest_and};
pub use sign::{Signer, copy_bare, sign};
pub use verify::{GoodSignature, ImageReport, SignatureReport, SignedImage, Verdict, good_signatures, verify};
