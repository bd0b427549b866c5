//! The journal, asked for how the last boots went.

use crate::{
    error::{Error, Kind, Result},
    host::state::boots,
};
use std::{
    io::Read,
    process::{Command, Stdio},
};

/// Bytes of entries that are looked at.
const MOST_READ: u64 = 4 * 1024 * 1024;
/// Entries that are asked for, the last.
const MOST_ENTRIES: &str = "--lines=1000";
const FIELDS: &str = "--output-fields=_BOOT_ID,_PID,UNIT,JOB_TYPE,JOB_RESULT,MESSAGE";

/// The last boots of which it holds anything.
///
/// # Errors
/// [`Kind::System`]: it cannot be asked, or holds nothing that may be read here.
pub fn boots() -> Result<Vec<boots::BootOutcome>> {
    const WHAT: &str = "ask the journal";
    let cannot = |why: std::io::Error| Error::new(Kind::System, WHAT, format!("journalctl: {why}"));
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=json", MOST_ENTRIES, FIELDS]).args(boots::matches());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).env("SYSTEMD_COLORS", "0");
    let mut child = command.spawn().map_err(cannot)?;
    let mut lines = Vec::new();
    let read = child.stdout.take().map_or(Ok(0), |pipe| pipe.take(MOST_READ).read_to_end(&mut lines));
    // What is behind that is not waited for: its pipe is closed.
    let ended = child.wait();
    read.and(ended.map(|_| 0)).map_err(cannot)?;
    let boots = boots::read(&lines);
    if boots.is_empty() {
        let why =
            "it holds nothing of Trust's that may be read here; a boot that never had its root leaves nothing in it";
        return Err(Error::new(Kind::System, WHAT, why).remedy("read it as root, or as a member of systemd-journal"));
    }
    Ok(boots)
}
