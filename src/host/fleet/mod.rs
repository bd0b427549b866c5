//! Many machines by their states: read one by one, whatever is in them, and judged by what an update makes of each.
//!
//! - [`read`]: from a directory, a file of JSON lines or a pipe, in constant memory; [`run`]: on all cores, in their order;
//! - [`judge`]: whether a machine still opens.

pub mod judge;
pub mod read;
pub mod run;
