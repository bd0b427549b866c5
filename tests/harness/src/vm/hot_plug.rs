//! A disk that is plugged in while a machine boots.

use super::qemu;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// QEMU's options for a port that is empty at first, a disk for it, and a monitor (QMP).
pub(super) fn options(dir: &Path, image: &Path) -> Vec<String> {
    let drive = format!("if=none,id=late,format=raw,readonly=on,file={}", image.display());
    let monitor = format!("unix:{},server=on,wait=off", monitor(dir).display());
    ["-device", "pcie-root-port,id=late-port", "-drive", &drive, "-qmp", &monitor].map(str::to_owned).into()
}

/// Plugs the disk in once `when` stands on the console of the machine in `dir`; gives up when that is gone.
pub(super) fn plug_in(dir: PathBuf, when: &'static str) {
    thread::spawn(move || {
        let console = dir.join(qemu::CONSOLE);
        loop {
            let Ok(text) = fs::read(&console) else { return };
            if String::from_utf8_lossy(&text).contains(when) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let mut stream = UnixStream::connect(monitor(&dir)).expect("QEMU has a monitor");
        let mut answers = BufReader::new(stream.try_clone().expect("a socket"));
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("a greeting");
        for command in [
            r#"{"execute":"qmp_capabilities"}"#,
            r#"{"execute":"device_add","arguments":{"driver":"virtio-blk-pci","bus":"late-port","drive":"late","id":"late"}}"#,
        ] {
            writeln!(stream, "{command}").expect("QEMU is on");
            answer.clear();
            answers.read_line(&mut answer).expect("an answer");
            assert!(!answer.contains("error"), "{command}: {answer}");
        }
    });
}

fn monitor(dir: &Path) -> PathBuf {
    dir.join("qmp.socket")
}
