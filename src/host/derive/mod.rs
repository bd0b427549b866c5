//! Keys of applications, derived from this machine's TPM whenever they are needed and stored nowhere.
//!
//! - `context`: from what, and how, bit by bit; `request`: what is asked for, and what comes of it;
//! - `requester`, `executable`, `ima`, `verity`: who asks, and with what;
//! - `keeper`: the TPM of a service; `service`, [`varlink`], [`client`]: the socket, its protocol, and who asks there;
//! - [`request_key`]: keys that the kernel has request-key(8) ask for;
//! - `wrap`: files that are encrypted with such a key.

pub mod client;
mod context;
mod executable;
pub mod ima;
mod keeper;
mod request;
pub mod request_key;
mod requester;
mod service;
pub mod varlink;
mod verity;
mod wrap;

pub use context::{KeyContext, KeySize, Mode, expand, key};
pub use executable::Executable;
pub use keeper::{Keeper, Prf};
pub use request::{DerivedKey, KeyOrigin, KeyRequest};
pub use requester::{ForeignNamespace, Requester};
pub use service::{ServiceOptions, serve};
pub use wrap::WrappedHead;
