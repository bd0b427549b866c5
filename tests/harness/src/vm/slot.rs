//! How many virtual machines may be on at a time.

use crate::workspace;
use std::{
    fs::{self, File},
    thread,
    time::Duration,
};

/// More of them would starve each other and the other tests.
const SLOTS: u32 = 2;

/// The right to run a virtual machine, among all test programs of this workspace. The kernel releases it when a
/// process ends.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "closing it gives the slot back")] File);

impl Slot {
    /// Waits for one.
    #[must_use]
    pub fn wait() -> Self {
        // A copy of the sources has none yet.
        fs::create_dir_all(workspace().join("target")).expect("a writable directory");
        let path = |number| workspace().join(format!("target/vm-slot-{number}"));
        let files: Vec<File> =
            (0..SLOTS).map(|number| File::create(path(number)).expect("a writable directory")).collect();
        loop {
            for file in &files {
                if file.try_lock().is_ok() {
                    return Self(file.try_clone().expect("a file"));
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
