//! PKCS#11 modules: found where distributions put them, loaded once, without the environment.
//!
//! A module is a library, and loading it runs it. Its path may be given on the command line, but not by a
//! file: a file may only name a module of the system ([`by_name`]).

use super::complaint;
use crate::{
    error::{Error, Kind, Result},
    host::pki::pkcs11_uri::Uri,
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as Cryptoki, RvError},
};
use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The proxy module for all modules configured on a machine.
const PROXY: &str = "p11-kit-proxy";
/// The initialized ones: doing so twice is an error.
static LOADED: Mutex<Vec<(PathBuf, Pkcs11)>> = Mutex::new(Vec::new());

/// The module of a URI, initialized.
pub fn load(uri: &Uri) -> Result<Pkcs11> {
    let path = locate(uri)?;
    let path = path.canonicalize().map_err(|e| missing(&path, &e.to_string()))?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, module)) = loaded.iter().find(|(known, _)| *known == path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(&path).map_err(|e| match e {
        Cryptoki::LibraryLoading(why) => missing(&path, &why.to_string()),
        other => complaint("load the PKCS#11 module", &other).within(format!("load {}", path.display())),
    })?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(e) => return Err(complaint("start the PKCS#11 module", &e).within(format!("start {}", path.display()))),
    }
    loaded.push((path, module.clone()));
    Ok(module)
}

/// Its file.
fn locate(uri: &Uri) -> Result<PathBuf> {
    let named = uri.module_name.as_deref();
    match uri.module_path.as_deref().map(Path::new) {
        Some(path) if !path.is_absolute() => {
            Err(Error::new(Kind::Usage, "find the PKCS#11 module", "its module-path is not absolute")
                .remedy("give module-path=/…"))
        }
        Some(dir) if dir.is_dir() => {
            let name = named.unwrap_or(PROXY);
            find_in(dir, name).ok_or_else(|| unknown(name))
        }
        Some(file) => Ok(file.to_owned()),
        None => {
            let name = named.unwrap_or(PROXY);
            in_the_system(name).ok_or_else(|| unknown(name))
        }
    }
}

/// The URI with only the name of a module of the system: all that a file may contain.
///
/// A path is accepted if that name leads to the very same module, which is then loaded.
///
/// # Errors
/// [`Kind::Usage`]: it names another library.
pub fn by_name(uri: &Uri) -> Result<Uri> {
    let foreign = |why: String| Error::new(Kind::Usage, "use a PKCS#11 URI in a file", why);
    if let Some(name) = uri.module_name.as_deref().filter(|name| !is_plain(name)) {
        return Err(foreign(format!("module-name {name:?} is not a plain name")));
    }
    let Some(path) = uri.module_path.as_deref().map(Path::new) else { return Uri::parse(uri.as_str()) };
    let file =
        if path.is_dir() { find_in(path, uri.module_name.as_deref().unwrap_or(PROXY)) } else { Some(path.into()) };
    let stem = file.as_deref().and_then(|file| file.file_name()?.to_str()?.strip_suffix(".so"));
    let names = stem.map_or([None, None], |stem| [stem.strip_prefix("lib"), Some(stem)]);
    let is_it = |name: &&str| {
        let here = in_the_system(name).and_then(|file| file.canonicalize().ok());
        here.is_some() && here == file.as_deref().and_then(|file| file.canonicalize().ok())
    };
    match names.into_iter().flatten().find(|name| is_plain(name) && is_it(name)) {
        Some(name) => uri.with_module(name),
        None => Err(foreign(format!("module-path {} leads to no module of the system", path.display()))),
    }
}

/// Whether a name needs no `%` in a URI, and is not a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte)) && name != ".."
}

/// The module of this name in the distributions' directories.
fn in_the_system(name: &str) -> Option<PathBuf> {
    directories().iter().find_map(|dir| find_in(dir, name))
}

/// The distributions' directories for modules.
fn directories() -> Vec<PathBuf> {
    let multiarch = format!("{ARCH}-linux-gnu");
    let libraries = ["/usr/local/lib", "/usr/local/lib64", "/usr/lib", "/usr/lib64"].map(PathBuf::from);
    let mut found = Vec::new();
    for library in libraries {
        for dir in [library.join(&multiarch), library] {
            found.extend(["pkcs11", "softhsm", "opensc", ""].map(|below| dir.join(below)));
        }
    }
    found
}

/// `NAME.so` or `libNAME.so`, in any case (RFC 7512, section 2.3).
fn find_in(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let stem = path.file_name().and_then(|file| file.to_str()?.strip_suffix(".so"));
        stem.is_some_and(|stem| {
            [stem, stem.strip_prefix("lib").unwrap_or(stem)].iter().any(|s| s.eq_ignore_ascii_case(name))
        })
    })
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::Usage, "find the PKCS#11 module", format!("there is no {name}.so"))
        .remedy("install it, or give its path on the command line: ?module-path=/…/MODULE.so")
}

fn missing(path: &Path, why: &str) -> Error {
    Error::new(Kind::Usage, format!("load {}", path.display()), why.to_owned()).remedy("check module-path")
}
