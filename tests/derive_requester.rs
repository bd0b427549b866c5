//! Who asks for a key, and with which executable: what is refused, and what is not told apart.

use harness::{connected, is_root_or_skip};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::Uid,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    thread::{self, sleep},
    time::{Duration, Instant},
};
use tempfile::{TempDir, tempdir};
use trust::{
    error::{Kind, Result},
    host::derive::{Executable, ForeignNamespace, Requester},
};

/// A child that ends with the test.
struct Program(Child);

impl Program {
    /// Starts one, and waits until it is what it is to become.
    fn start(command: &mut Command, name: &str) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let this = Self(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(format!("/proc/{}/comm", this.pid())).unwrap_or_default().trim() != name {
            assert!(Instant::now() < deadline, "{name} does not start");
            sleep(Duration::from_millis(5));
        }
        this
    }

    /// An executable that waits.
    fn waiting(path: &Path) -> Self {
        Self::start(Command::new(path).arg("60"), &path.file_name().unwrap().to_string_lossy())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn requester(&self) -> Requester {
        Requester::of_pid(self.pid()).unwrap()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that others can look into, with a copy of sleep(1) of this name.
fn place(name: &str) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The kernel shows paths without symbolic links.
    let path = dir.path().canonicalize().unwrap().join(name);
    copy("/bin/sleep", &path);
    (dir, path)
}

/// By another program: a child that another test starts at this moment would have our file open for writing, and the kernel
/// executes no such file.
fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    assert!(Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap().success());
}

fn path_of(requester: &Requester) -> std::result::Result<PathBuf, String> {
    use std::os::unix::ffi::OsStrExt;
    let executable = requester.executable(ForeignNamespace::Refused).map_err(|e| e.to_string())?;
    Ok(Path::new(std::ffi::OsStr::from_bytes(executable.path())).to_owned())
}

fn refusal<T>(outcome: Result<T>) -> String {
    let error = outcome.err().expect("it was to be refused");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    error.to_string()
}

/// Runs a test in a thread that has mounts of its own; only root has them without a user namespace, too.
fn with_own_mounts(test: impl FnOnce() + Send + 'static) {
    if !is_root_or_skip("mounts without a user namespace are made by root") {
        return;
    }
    let body = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        test();
    };
    thread::spawn(body).join().unwrap();
}

/// A process that has connected.
struct Peer {
    program: Program,
    stream: UnixStream,
}

impl Peer {
    /// And then becomes this program, which waits; another user's, or in a directory that is its root.
    fn connect(program: &Path, uid: Option<u32>, root: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.arg("60").stdin(Stdio::null());
        if let Some(uid) = uid {
            command.uid(uid);
        }
        let (child, stream) = connected(&mut command, root);
        Self { program: Program(child), stream }
    }
}

#[test]
fn a_peer_is_the_process_that_has_connected() {
    let (_dir, path) = place("peer");
    let peer = Peer::connect(&path, None, None);
    let requester = Requester::of_peer(&peer.stream).unwrap();
    assert_eq!((requester.pid(), requester.uid()), (peer.program.pid(), Uid::effective().as_raw()));
    assert_eq!(path_of(&requester), Ok(path));
    // Both ends of a pair are this process's.
    let (one, _other) = UnixStream::pair().unwrap();
    let this = Requester::of_peer(&one).unwrap();
    assert_eq!(this.pid(), id().cast_signed());
    assert_eq!(path_of(&this), Ok(fs::read_link("/proc/self/exe").unwrap()));
}

/// The limit that SECURITY.md tells of: users are parted from one another, programs of one user are not.
#[test]
fn a_program_of_the_same_user_passes_as_another_that_it_executes_after_connecting() {
    let (_dir, path) = place("victim");
    let peer = Peer::connect(&path, None, None);
    // What the test program has connected is the victim's.
    assert_eq!(path_of(&Requester::of_peer(&peer.stream).unwrap()), Ok(path));
}

#[test]
fn a_peer_that_has_ended_is_refused() {
    let (_dir, path) = place("ended");
    let mut peer = Peer::connect(&path, None, None);
    let held = Requester::of_peer(&peer.stream).unwrap();
    peer.program.end();
    for refused in [
        refusal(Requester::of_peer(&peer.stream)),
        refusal(held.is_still_there()),
        refusal(held.executable(ForeignNamespace::Refused)),
        refusal(held.parent()),
        refusal(Requester::of_pid(peer.program.pid())),
    ] {
        assert!(refused.contains("has ended"), "{refused}");
    }
    // It is done as the message says: asked again.
    let peer = Peer::connect(&path, None, None);
    Requester::of_peer(&peer.stream).unwrap();
}

#[test]
fn a_setuid_program_executed_after_connecting_is_refused() {
    if !is_root_or_skip("another user is taken by root") {
        return;
    }
    const USER: u32 = 61_234;
    let (_dir, path) = place("setuid");
    let peer = Peer::connect(&path, Some(USER), None);
    // It is no such program yet.
    assert_eq!(Requester::of_peer(&peer.stream).unwrap().uid(), USER);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    let peer = Peer::connect(&path, Some(USER), None);
    let refused = refusal(Requester::of_peer(&peer.stream));
    assert!(refused.contains("another user's") && refused.contains("connect after that"), "{refused}");
    // Another user's program.
    let (_dir, path) = place("setuid2");
    chown(&path, Some(USER + 1), None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    let peer = Peer::connect(&path, Some(USER), None);
    assert!(refusal(Requester::of_peer(&peer.stream)).contains("another user's"));
    // It is the owner's when it asks itself.
    assert_eq!(peer.program.requester().uid(), USER + 1);
    let refused = refusal(peer.program.requester().parent());
    assert!(refused.contains("is another user's"), "{refused}");
}

#[test]
fn the_parent_is_the_one_that_started_it() {
    let this = Requester::of_this_parent().unwrap();
    assert_eq!(this.pid(), std::os::unix::process::parent_id().cast_signed());
    let (_dir, path) = place("child");
    let child = Program::waiting(&path);
    let parent = child.requester().parent().unwrap();
    assert_eq!(parent.pid(), id().cast_signed());
    let of_thread = thread::spawn(|| Requester::of_pid(nix::unistd::gettid().as_raw()).unwrap());
    assert_eq!(of_thread.join().unwrap().pid(), id().cast_signed());
}

#[test]
fn copied_and_moved_executables_have_the_path_at_which_they_lie() {
    let (dir, path) = place("original");
    let second = path.with_file_name("copy");
    copy(&path, &second);
    let [original, copied] = [&path, &second].map(|path| Program::waiting(path));
    assert_eq!(path_of(&original.requester()), Ok(path.clone()));
    assert_eq!(path_of(&copied.requester()), Ok(second));
    // As the kernel sees it, the program has moved with its file.
    let moved = path.with_file_name("moved");
    fs::rename(&path, &moved).unwrap();
    assert_eq!(path_of(&original.requester()), Ok(moved.clone()));
    // A symbolic link is not the path, and neither is another's name in its place.
    let link = path.with_file_name("link");
    std::os::unix::fs::symlink(&moved, &link).unwrap();
    assert_eq!(path_of(&Program::waiting(&link).requester()), Ok(moved.clone()));
    assert_eq!(Executable::at(&link).unwrap().path(), moved.as_os_str().as_encoded_bytes());
    // The directory is another.
    let elsewhere = dir.path().canonicalize().unwrap().with_extension("elsewhere");
    fs::rename(dir.path(), &elsewhere).unwrap();
    let there = path_of(&original.requester());
    fs::rename(&elsewhere, dir.path()).unwrap();
    assert_eq!(there, Ok(elsewhere.join("moved")));
}

#[test]
fn removed_and_replaced_executables_are_refused() {
    let (_dir, path) = place("replaced");
    let program = Program::waiting(&path);
    let other = path.with_file_name("other");
    copy("/bin/sleep", &other);
    fs::rename(&other, &path).unwrap();
    let refused = refusal(program.requester().executable(ForeignNamespace::Refused));
    assert!(refused.contains("removed or replaced") && refused.contains("start the program again"), "{refused}");
    assert_eq!(path_of(&Program::waiting(&path).requester()), Ok(path.clone()));
    let program = Program::waiting(&path);
    fs::remove_file(&path).unwrap();
    assert!(refusal(program.requester().executable(ForeignNamespace::Refused)).contains("removed or replaced"));
    assert!(refusal(program.requester().executable(ForeignNamespace::Allowed)).contains("removed or replaced"));
    // What the kernel says of a removed file does not make a name of it.
    let claims = path.with_file_name("x (deleted)");
    copy("/bin/sleep", &claims);
    assert!(refusal(Program::waiting(&claims).requester().executable(ForeignNamespace::Refused)).contains("removed"));
}

#[test]
fn an_executable_that_something_is_mounted_over_is_refused() {
    with_own_mounts(|| {
        let (_dir, path) = place("victim");
        let (_other, forged) = place("forged");
        let victim = Program::waiting(&path);
        assert_eq!(path_of(&victim.requester()), Ok(path.clone()));
        mount(Some(&forged), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let refused = refusal(victim.requester().executable(ForeignNamespace::Refused));
        assert!(refused.contains("something else lies at"), "{refused}");
        // The other file has that path in this namespace, where only root mounts.
        assert_eq!(path_of(&Program::waiting(&path).requester()), Ok(path.clone()));
        // A directory is hidden.
        let hidden = path.parent().unwrap().join("hidden");
        fs::create_dir(&hidden).unwrap();
        let inside = hidden.join("inside");
        copy("/bin/sleep", &inside);
        let program = Program::waiting(&inside);
        mount(Some("none"), &hidden, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        assert!(refusal(program.requester().executable(ForeignNamespace::Refused)).contains("something else lies at"));
    });
}

#[test]
fn a_container_that_claims_a_path_of_the_system_is_refused() {
    let (_dir, forged) = place("forged");
    // Any user may do so, where the system allows user namespaces; root needs none.
    let user: &[&str] = if Uid::effective().is_root() { &[] } else { &["--user", "--map-root-user"] };
    for namespaces in [user, &["--user", "--map-root-user"]] {
        let script = format!("mount --bind {} /bin/cat && exec /bin/cat 60", forged.display());
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["--mount", "sh", "-c", &script]);
        let program = Program::start(&mut command, "cat");
        let requester = program.requester();
        assert_eq!(requester.uid(), Uid::effective().as_raw());
        let refused = refusal(requester.executable(ForeignNamespace::Refused));
        assert!(refused.contains("a container or a chroot") && refused.contains("allow foreign"), "{refused}");
        let allowed = requester.executable(ForeignNamespace::Allowed).unwrap();
        assert!(allowed.path().ends_with(b"/bin/cat"));
    }
}

/// Without mounts of its own: as its root, a process may change what its `exe` shows.
#[test]
fn a_user_namespace_of_its_own_is_refused() {
    let (_dir, path) = place("alone");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(&path).arg("60");
    let program = Program::start(&mut command, "alone");
    let refused = refusal(program.requester().executable(ForeignNamespace::Refused));
    assert!(refused.contains("a container or a chroot"), "{refused}");
    program.requester().executable(ForeignNamespace::Allowed).unwrap();
}

/// A limit that SECURITY.md tells of: whoever traces a process has its key, and its user may.
#[test]
fn a_process_is_traced_by_its_own_user_and_by_no_other() {
    if !is_root_or_skip("another user is taken by root") {
        return;
    }
    const USER: u32 = 61_234;
    let (_dir, path) = place("traced");
    let peer = Peer::connect(&path, Some(USER), None);
    for (uid, may) in [(USER, true), (USER + 1, false)] {
        let mut tracer = Command::new("strace");
        // Its first line says whether it has attached.
        tracer.args(["-p", &peer.program.pid().to_string()]).uid(uid).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut tracer = Program(tracer.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(tracer.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.contains("attached"), may, "{line}");
        assert_eq!(line.contains("Operation not permitted"), !may, "{line}");
    }
    assert_eq!(path_of(&Requester::of_peer(&peer.stream).unwrap()), Ok(path));
}

/// Nothing is mounted for this: what a temporary directory has mounted in it is deleted with it.
#[test]
fn a_chroot_is_refused() {
    if !is_root_or_skip("another root is taken by root") {
        return;
    }
    let root = tempdir().unwrap();
    // It needs no libraries.
    copy("/bin/busybox", root.path().join("sleep"));
    let peer = Peer::connect(Path::new("/sleep"), None, Some(root.path()));
    let requester = Requester::of_peer(&peer.stream).unwrap();
    let refused = refusal(requester.executable(ForeignNamespace::Refused));
    assert!(refused.contains("a container or a chroot"), "{refused}");
    requester.executable(ForeignNamespace::Allowed).unwrap();
}

#[test]
fn files_that_root_names_are_executables() {
    let (dir, path) = place("program");
    let executable = Executable::at(&path).unwrap();
    assert_eq!(executable.path(), path.as_os_str().as_encoded_bytes());
    fs::write(dir.path().join("text"), "text").unwrap();
    for other in [dir.path().to_owned(), dir.path().join("text")] {
        let error = Executable::at(&other).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains("not an executable"), "{error}");
    }
    assert_eq!(Executable::at(&dir.path().join("none")).unwrap_err().kind(), Kind::System);
    // tmpfs and most file systems of a machine that builds have no fs-verity.
    let error = executable.verity().unwrap_err().to_string();
    assert!(error.contains("has none"), "{error}");
}
