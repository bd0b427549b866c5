//! Compiles tpm2-tss into the library: MU, SYS and ESYS, and nothing else.
//!
//! Left out on purpose: its TCTIs and their loader (`src/tpm/transport` speaks
//! to the device), its crypto backends (`src/tpm/crypto.rs`), its log, which
//! would read the environment. The source is fetched, verified and patched by
//! `cargo xtask fetch`; this script never touches the network.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where `cargo xtask fetch` unpacks the source, relative to the package.
const SOURCE: &str = "vendor/tpm2-tss-4.1.3";

/// Our patches to it.
const PATCHES: &str = "src/tpm/tss2";

fn main() {
    println!("cargo:rerun-if-env-changed=TPM2_TSS_SOURCE");
    let src = env::var_os("TPM2_TSS_SOURCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(SOURCE), PathBuf::from);
    println!("cargo:rerun-if-changed={}", src.join("src").display());
    println!("cargo:rerun-if-changed={PATCHES}");
    assert!(src.is_dir(), "the source of tpm2-tss is not at {}: run `cargo xtask fetch`", src.display());
    for patch in files(Path::new(PATCHES), "patch") {
        assert_applied(&patch, &src);
    }

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut build = cc::Build::new();
    build
        .opt_level_str("s")
        .std("gnu99")
        .warnings(false)
        .flag("-ffunction-sections")
        .flag("-fdata-sections")
        .flag("-fstack-protector-strong")
        // Nothing unwinds: a panic aborts.
        .flag("-fno-unwind-tables")
        .flag("-fno-asynchronous-unwind-tables")
        .flag(format!("-ffile-prefix-map={}=tpm2-tss", src.display()))
        .define("_GNU_SOURCE", None)
        .define("MAXLOGLEVEL", "0")
        // esys_crypto_mbed.h names the functions that src/tpm/crypto.rs defines.
        .define("MBED", None)
        // Whatever the C code frees is wiped first (src/memory.rs).
        .define("free", "trust_wipe_and_free");
    // musl-gcc brings no kernel headers; one file wants PATH_MAX from them.
    let shim = out.join("include");
    fs::create_dir_all(shim.join("linux")).expect("OUT_DIR is writable");
    fs::write(shim.join("linux/limits.h"), "#define PATH_MAX 4096\n").expect("OUT_DIR is writable");
    build.flag("-idirafter").flag(&shim);
    for dir in ["", "src", "src/tss2-mu", "src/tss2-sys", "src/tss2-esys", "include", "include/tss2"] {
        build.include(src.join(dir));
    }
    for dir in ["tss2-mu", "tss2-sys", "tss2-sys/api", "tss2-esys", "tss2-esys/api"] {
        build.files(c_files(&src.join("src").join(dir)));
    }
    // +whole-archive: the crypto symbols are needed by C alone, and found in Rust.
    build.link_lib_modifier("+whole-archive").compile("tss2-esys");
}

/// Wherever the source is from, it is not compiled without our patches: what each hunk of a patch leaves must be there.
fn assert_applied(patch: &Path, src: &Path) {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let (mut file, mut hunk) = (String::new(), String::new());
    for line in read(patch).lines().chain(["@@"]) {
        if line.starts_with("--- ") || line.starts_with("@@") {
            let is_there = file.contains(&hunk);
            assert!(
                is_there,
                "{} lacks {}: apply it with patch -p1, or run `cargo xtask fetch`",
                src.display(),
                patch.display()
            );
            hunk.clear();
        } else if let Some(name) = line.strip_prefix("+++ b/") {
            file = read(&src.join(name));
        } else if let (false, Some(kept)) = (file.is_empty(), line.strip_prefix([' ', '+'])) {
            hunk = hunk + kept + "\n";
        }
    }
}

/// The C files of a directory.
fn c_files(dir: &Path) -> Vec<PathBuf> {
    let is_another_backend = |path: &Path| path.ends_with("esys_crypto_mbed.c") || path.ends_with("esys_crypto_ossl.c");
    let mut files = files(dir, "c");
    files.retain(|path| !is_another_backend(path));
    files
}

/// The files of a directory with this extension, sorted so that two builds link alike.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|x| x == extension))
        .collect();
    files.sort();
    files
}
