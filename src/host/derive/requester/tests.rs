use super::*;
use std::process::{Child, Command, Stdio};

/// A child that ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start(path: &str) -> Self {
        Self(Command::new(path).arg("60").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_pidfd_of_the_peer_a_later_process_is_refused() {
    let uid = rustix::process::geteuid().as_raw();
    let before = ticks_since_boot();
    std::thread::sleep(std::time::Duration::from_millis(30));
    let mut later = Sleeper::start("/bin/sleep");
    let by_number = |uid, called| Requester::by_number(later.pid(), uid, called);
    let refused = by_number(uid, before).unwrap_err().to_string();
    assert!(refused.contains("has ended"), "{refused}");
    let now = ticks_since_boot();
    assert_eq!(by_number(uid, now).unwrap().pid(), later.pid());
    let refused = by_number(uid + 1, now).unwrap_err().to_string();
    assert!(refused.contains("another user's"), "{refused}");
    later.0.kill().unwrap();
    later.0.wait().unwrap();
    assert!(Requester::by_number(later.pid(), uid, u64::MAX).unwrap_err().to_string().contains("has ended"));
}

#[test]
fn names_of_programs_forge_no_line() {
    let status = |text| Status::parse(text).map(|s| (s.process, s.parent, s.uid));
    let real = "Name:\ta\\nUid:\t0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nNgid:\t0\nPid:\t8\nPPid:\t1\n\
                TracerPid:\t0\nUid:\t1000\t1001\t1002\t1003\nGid:\t0\t0\t0\t0\n";
    assert_eq!(status(real), Some((7, 1, 1001)));
    for cut in ["", "Tgid:\t7\nPPid:\t1\n", "Tgid:\t7\nPPid:\t1\nUid:\t1\n", "Tgid:\tx\nPPid:\t1\nUid:\t1\t1\n"] {
        assert_eq!(status(cut), None, "{cut}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a) S 1 (b");
    std::os::unix::fs::symlink("/bin/sleep", &path).unwrap();
    let program = Sleeper::start(path.to_str().unwrap());
    let now = ticks_since_boot();
    let start = started(program.pid()).unwrap();
    assert!(start <= now && now - start < 20 * TICKS, "{start} {now}");
}
