//! mkosi of Debian 13, on whatever Debian this is.

use crate::{assets, keep_mounts_in};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// In a plain chroot / is no mount point, and mkosi needs one. $1: a directory.
const NEW_ROOT: &str = r#"mount --rbind / "$1"; exec chroot "$@""#;

/// ukify where mkosi's sandbox can see it: in a directory that was named to it. Python's modules are in another.
const UKIFY: &str = r#"#!/usr/bin/python3
import runpy, sys
sys.path.insert(0, "MODULES")
runpy.run_path("PROGRAM", run_name="__main__")
"#;

/// Makes the image that a project describes, as root, into its `mkosi.output`. Packages come from where the assets came
/// from, and are kept for the next time. Returns what mkosi said, and whether it made the image.
pub fn mkosi(project: &Path) -> (bool, String) {
    let root = TempDir::with_prefix("mkosi-root-").expect("a temporary directory");
    let tools = TempDir::with_prefix("mkosi-tools-").expect("a temporary directory");
    let modules = assets::path("usr/lib/python3/dist-packages");
    ukify(tools.path(), &modules);
    let sources = project.join("mkosi.sandbox/etc/apt/sources.list.d");
    fs::create_dir_all(&sources).expect("a writable directory");
    fs::copy(assets::sources(), sources.join("mkosi.sources")).expect("a writable directory");

    let cache = cache();
    // Two at a time would get in each other's way. Unlocked when closed.
    let alone = fs::File::create(cache.join("lock")).expect("a writable directory");
    alone.lock().expect("a lock");
    let mut command = Command::new("sh");
    command.args(["-euc", NEW_ROOT, "sh"]).arg(root.path());
    command.arg(assets::program("mkosi").get_program()).args(["--force", "--incremental=yes", "--directory"]);
    command.arg(project).arg("--environment").arg(format!("PYTHONPATH={}", modules.display()));
    for (option, directory) in [
        ("--extra-search-path", tools.path()),
        ("--extra-search-path", &modules),
        ("--cache-directory", &cache.join("images")),
        ("--package-cache-directory", &cache.join("packages")),
    ] {
        command.arg(option).arg(directory);
    }
    // Not the user's: it may lead to another Python.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", env::temp_dir());
    command.stdin(Stdio::null());
    let output = keep_mounts_in(&mut command).output().expect("there is a shell");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.success(), said)
}

/// A directory of this user's caches, beside that for assets.
fn cache() -> PathBuf {
    let cache = assets::directory().with_extension("mkosi");
    for name in ["images", "packages"] {
        fs::create_dir_all(cache.join(name)).expect("a writable directory");
    }
    cache
}

fn ukify(dir: &Path, modules: &Path) {
    let program = dir.join("ukify.py");
    fs::copy(assets::path("usr/bin/ukify"), &program).expect("a writable directory");
    let [modules, program] = [modules, &program].map(|path| path.to_str().expect("a path in text"));
    let script = UKIFY.replace("MODULES", modules).replace("PROGRAM", program);
    fs::write(dir.join("ukify"), script).expect("a writable directory");
    fs::set_permissions(dir.join("ukify"), fs::Permissions::from_mode(0o755)).expect("our own file");
}
