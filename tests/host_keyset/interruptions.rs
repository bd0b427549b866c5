//! Commands that are interrupted, killed, or get in each other's way, and disks that are full.

use crate::{names, sample, verifies};
use harness::{Home, tree, trust_host};
use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command},
};
use tempfile::TempDir;

const SIGINT: i32 = 2;

/// `keyset add`, as far as the first directory that is not finished.
fn unfinished(home: &Home) -> Child {
    let mut child = home.command(&["keyset", "add", "k"]).spawn().unwrap();
    while !home.keys().is_dir() || names(&home.keys()).is_empty() {
        assert_eq!(child.try_wait().unwrap(), None, "it must be seen at work");
        std::thread::yield_now();
    }
    child
}

fn kill(child: &Child, signal: &str) {
    // The shell's own: not every system has a program of that name.
    harness::run("sh", &["-c", &format!("kill {signal} {}", child.id())]);
}

#[test]
fn an_interrupted_command_leaves_nothing() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let home = Home::new();
        let mut child = unfinished(&home);
        kill(&child, signal);
        let status = child.wait().unwrap();
        // It had eleven keys to make: one that got through with it would have been sent the signal too late.
        assert!(status.signal().is_some(), "{signal}: {status}");
        assert!(signal != "-INT" || status.signal() == Some(SIGINT), "{status}");
        assert_eq!(names(&home.keys()), Vec::<String>::new(), "{signal}");
    }
}

#[test]
fn leftovers_of_a_killed_command_are_hidden_and_removed_by_the_next() {
    let home = Home::new();
    let mut child = unfinished(&home);
    kill(&child, "-KILL");
    child.wait().unwrap();
    let left = names(&home.keys());
    assert_eq!(left.len(), 1);
    assert!(left[0].starts_with(".new-"), "{left:?}");
    assert_eq!(home.ok(&["keyset", "list"]), "");
    home.refuses(&["sudi", "add", &left[0], "default"]);
    home.ok(&["keyset", "add", "other"]);
    assert_eq!(names(&home.keys()), ["other"]);
}

#[test]
fn two_commands_at_once_do_not_disturb_each_other() {
    let home = Home::new();
    let children = ["k", "k", "other"].map(|name| home.command(&["keyset", "add", name]).spawn().unwrap());
    let codes = children.map(|child| child.wait_with_output().unwrap().status.code().unwrap());
    assert_eq!(codes[2], 0);
    // One of the two with the same name was faster, and the other one says so.
    assert!(codes[..2] == [0, 2] || codes[..2] == [2, 0], "{codes:?}");
    assert_eq!(names(&home.keys()), ["k", "other"]);
    for name in ["k", "other"] {
        assert!(verifies(
            &home.keys().join(name).join("manifest-ca"),
            &home.keys().join(name).join("manifest/default")
        ));
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    // The root of the file system, the five directories down to the keysets, and what a whole keyset needs.
    let enough = 6 + tree(&sample().1).len() - tree(&sample().1.join("manifest/default/sudi/SN_0042")).len();
    // Room for some of its files, then for all but the last. Policies share directories where their digests happen to begin
    // alike: that makes two more or less.
    for (inodes, status) in [(8, 15), (20, 15), (enough - 3, 15), (enough + 2, 0)] {
        let dir = TempDir::new().unwrap();
        let script = "mount -t tmpfs -o mode=700,nr_inodes=$1 tmpfs \"$2\" && cd / && HOME=\"$2\" \"$0\" keyset add k; \
            status=$?; find \"$2\"; exit $status";
        let mut command = Command::new("sh");
        harness::keep_mounts_in(&mut command)
            .args(["-c", script])
            .arg(trust_host())
            .arg(inodes.to_string())
            .arg(dir.path());
        let output = command.env_remove("XDG_DATA_HOME").output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{inodes}: {complaint}");
        assert_eq!(complaint.contains("free some space"), status != 0, "{complaint}");
        let left = String::from_utf8_lossy(&output.stdout).lines().filter(|path| path.contains("keys/")).count();
        assert_eq!(left == 0, status != 0, "{inodes}: {left}");
    }
}
