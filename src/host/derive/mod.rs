//! Keys of applications, derived from this machine's TPM whenever they are needed and stored nowhere.

mod executable;
mod ima;
mod requester;
mod verity;

pub use executable::Executable;
pub use requester::{ForeignNamespace, Requester};
