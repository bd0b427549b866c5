//! States judged on all cores, told in their order, with no more in memory than a round of them.

use super::read::{FleetReader, RawState};
use crate::{error::Result, host::fs::interrupt};
use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

/// States that are judged before the next are told.
const ROUND: usize = 256;
/// Threads at most: more only wait for the disk.
const MOST_THREADS: usize = 16;

/// Judges all of them.
///
/// # Errors
/// Those of `tell`, and that Ctrl-C came.
pub fn judge_all<J: Send>(
    mut reader: FleetReader,
    judge: impl Fn(RawState) -> J + Sync,
    mut tell: impl FnMut(J) -> Result<()>,
) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS);
    loop {
        // What is to be read next, and what has been judged: each with its number.
        let todo = Mutex::new((0..ROUND).zip(reader.by_ref()));
        let done = Mutex::new(Vec::with_capacity(ROUND));
        let work = || {
            loop {
                // A lock of its own, which is given back before the state is judged.
                let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((number, state)) = next else { break };
                let judged = (number, judge(state));
                done.lock().unwrap_or_else(PoisonError::into_inner).push(judged);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(number, _)| *number);
        let is_last = done.len() < ROUND;
        done.into_iter().try_for_each(|(_, judged)| tell(judged))?;
        interrupt::check()?;
        if is_last {
            return Ok(());
        }
    }
}
