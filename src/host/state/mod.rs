//! What a machine says of itself, for those who look after many: a file of one form, written on the machine and read on the
//! administrator's desk. No secret is in it, and nobody vouches for it. Pure.
//!
//! - [`record`]: the form; [`reduced_log`]: as much of an event log as predictions need;
//! - [`boots`]: how the last boots went, as far as the journal says.

pub mod boots;
pub mod record;
pub mod reduced_log;
