//! Pages for browsers: a boot and a machine as one file of HTML, which needs neither script nor network.
//!
//! - [`log_page`]: of event logs; [`state_page`]: of what a machine says of itself;
//! - [`document`]: the frame, and what a browser is forbidden to do in it;
//! - [`chain`]: the picture; [`events`], [`pcrs`], [`policies`], [`updates`]: the parts; [`mark`]: good and bad.
//!
//! What is in a log or a state is hostile. Templates (`maud`) escape what is put into them, and refer to nothing but parts of
//! their own page; [`document`] alone writes anything as it is: its style.

mod chain;
mod document;
mod events;
pub mod log_page;
mod mark;
mod pcrs;
mod policies;
pub mod state_page;
pub mod updates;
