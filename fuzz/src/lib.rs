//! Randomness that is the same in every run, so that a recorded conversation with a TPM can be had again.
//!
//! Built with `--cfg getrandom_backend="custom"`, as `cargo xtask fuzz` does; without it randomness is the system's,
//! and no recorded answer is authentic.

use getrandom::Error;
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use trust::{
    error::Result,
    guard::OnLockFailure,
    store::{Item, Truststore, read_then_lock},
    tpm::{Address, Tpm, TpmStore},
};

/// The state of a splitmix64 generator.
static STATE: AtomicU64 = AtomicU64::new(0);

/// Starts over.
pub fn same_randomness() {
    STATE.store(0, Ordering::SeqCst);
}

#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(to: *mut u8, size: usize) -> std::result::Result<(), Error> {
    // SAFETY: the caller's buffer.
    let buffer = unsafe { std::slice::from_raw_parts_mut(to, size) };
    for chunk in buffer.chunks_mut(8) {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = STATE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

/// What a command asks of the TPM, from the connection to the proven lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Setup,
    Preinit,
    Lock,
}

impl Job {
    /// By the first byte of an input.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Preinit, Self::Lock];

    /// The file of its recording.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Preinit => "preinit",
            Self::Lock => "lock",
        }
    }

    /// Does it, and returns the sizes of the secrets.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self, socket: &Path, pcr7data: PathBuf, patience: Duration) -> Result<Vec<usize>> {
        same_randomness();
        let tpm = Tpm::connect(&Address::SwtpmUnix(socket.to_owned()), patience, false)?;
        let mut store = TpmStore::new(tpm, pcr7data);
        let (sizes, _locked) = read_then_lock(&mut store, OnLockFailure::Exit, |store| match self {
            Self::Setup => [Item::OsPassphrase, Item::Certificate, Item::PrivateKey]
                .into_iter()
                .map(|item| store.read(item).map(|secret| secret.len()))
                .collect(),
            Self::Preinit => store.renew_os_passphrase().map(|secret| vec![secret.len()]),
            Self::Lock => store.probe().map(|()| Vec::new()),
        })?;
        Ok(sizes)
    }
}

/// An input: which job, and then the answers, each behind its size.
pub fn encode<'a>(job: Job, answers: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut input = vec![job as u8];
    for answer in answers {
        input.extend(u16::try_from(answer.len()).expect("an answer is small").to_be_bytes());
        input.extend(answer);
    }
    input
}

/// A TPM that gives these answers to whatever it is asked, and then closes the connection.
pub fn answer(listener: &UnixListener, mut answers: &[u8]) {
    let Ok((mut program, _)) = listener.accept() else { return };
    while let Some((size, rest)) = answers.split_first_chunk() {
        let size = usize::from(u16::from_be_bytes(*size)).min(rest.len());
        let (answer, rest) = rest.split_at(size);
        answers = rest;
        if hear(&mut program).is_err() || program.write_all(answer).is_err() {
            return;
        }
    }
    // It waits for a question that is not answered, so that nothing that was said gets lost.
    let _ = hear(&mut program);
}

/// Takes one command.
fn hear(program: &mut UnixStream) -> io::Result<()> {
    let mut header = [0; 10];
    program.read_exact(&mut header)?;
    let size = u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize;
    io::copy(&mut program.take(size.saturating_sub(10) as u64), &mut io::sink()).map(|_| ())
}

/// Where this process has its TPM.
pub fn socket() -> PathBuf {
    let path = std::env::temp_dir().join(format!("trust-fuzz-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// The policies of the machine whose TPM was recorded.
pub fn pcr7data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pcr7data")
}
