//! A TPM that answers what an input says.
//!
//! An input is one byte that chooses the job, and then answers, each behind its size in two bytes. The highest bit of the
//! size says that the answer is given as it is; otherwise it is made authentic first.

use crate::{forger::Forger, job::Job};
use std::{
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use trust::error::Result;

const AS_IT_IS: u16 = 0x8000;
/// One more byte than a link takes.
const LARGEST: usize = 4097;
const PCR_EVENT: u32 = 0x13c;
const RETRY: [u32; 3] = [0x908, 0x90a, 0x922];
/// Whoever is told to come again waits for a while.
const RETRIES: usize = 8;
/// What no program says: the job is over.
const OVER: [u8; 10] = [0xff; 10];

/// An answer, and whether it is given as it is.
pub type Answer<'a> = (bool, &'a [u8]);

/// An input.
#[must_use]
pub fn encode<'a>(job: Job, answers: impl IntoIterator<Item = Answer<'a>>) -> Vec<u8> {
    let mut input = vec![job as u8];
    for (as_it_is, answer) in answers {
        let size = u16::try_from(answer.len()).expect("an answer is small");
        input.extend((size | if as_it_is { AS_IT_IS } else { 0 }).to_be_bytes());
        input.extend(answer);
    }
    input
}

/// What the TPM has heard and said.
#[derive(Debug, Default)]
pub struct Heard {
    pub commands: usize,
    /// How often PCR 7 was to be extended.
    pub locks: usize,
    /// Whether it has done anything that it was told, for all that one can see.
    pub worked: bool,
    retries: usize,
}

/// It answers from a thread that is there for as long as the process is.
pub struct Liar {
    socket: PathBuf,
    inputs: SyncSender<Vec<u8>>,
    heard: Mutex<Receiver<Heard>>,
}

impl Liar {
    /// # Panics
    /// Where there is no place for its socket.
    #[must_use]
    pub fn new() -> Self {
        let socket = std::env::temp_dir().join(format!("trust-fuzz-{}", std::process::id()));
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a writable directory");
        let (inputs, next) = sync_channel::<Vec<u8>>(1);
        let (over, heard) = sync_channel(1);
        thread::spawn(move || {
            for input in next {
                let _ = over.send(lie(&listener, &input));
            }
        });
        Self { socket, inputs, heard: Mutex::new(heard) }
    }

    /// Does the job of an input with the answers of that input; `None` when it names no job.
    ///
    /// # Panics
    /// When its thread is gone.
    pub fn run(&self, input: &[u8]) -> Option<(Job, Result<Vec<usize>>, Heard)> {
        let (job, answers) = input.split_first()?;
        let job = *Job::ALL.get(usize::from(*job))?;
        self.inputs.send(answers.to_vec()).expect("it waits");
        let outcome = job.run(&self.socket);
        let over = UnixStream::connect(&self.socket).and_then(|mut stream| stream.write_all(&OVER));
        over.expect("it listens");
        let heard = self.heard.lock().expect("one thread").recv().expect("it answers");
        Some((job, outcome, heard))
    }
}

impl Default for Liar {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// Serves one connection after the other until it hears [`OVER`].
fn lie(listener: &UnixListener, mut answers: &[u8]) -> Heard {
    let (mut heard, mut forger) = (Heard::default(), Forger::default());
    loop {
        let (mut program, _) = listener.accept().expect("somebody comes");
        loop {
            let Ok(command) = hear(&mut program) else { break };
            if command == OVER {
                return heard;
            }
            let Some((as_it_is, mut answer)) = next(&mut answers) else { break };
            if !as_it_is {
                forger.vouch(&command, &mut answer);
            }
            heard.note(&command, &answer);
            if heard.retries > RETRIES || program.write_all(&answer).is_err() {
                break;
            }
            // Whoever is promised more than there is must not wait for it.
            if answer.get(..10).is_none_or(|header| u32_of(&header[2..6]) as usize > answer.len()) {
                let _ = program.shutdown(Shutdown::Write);
            }
        }
    }
}

/// The next answer.
fn next(answers: &mut &[u8]) -> Option<(bool, Vec<u8>)> {
    let (size, rest) = answers.split_first_chunk()?;
    let size = u16::from_be_bytes(*size);
    let (answer, rest) = rest.split_at(usize::from(size & !AS_IT_IS).min(rest.len()));
    *answers = rest;
    Some((size & AS_IT_IS != 0, answer[..answer.len().min(LARGEST)].to_vec()))
}

/// Takes one command.
fn hear(program: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut command = vec![0; 10];
    program.read_exact(&mut command)?;
    if command != OVER {
        let size = u32_of(&command[2..6]);
        program.take(u64::from(size).saturating_sub(10)).read_to_end(&mut command)?;
    }
    Ok(command)
}

impl Heard {
    fn note(&mut self, command: &[u8], answer: &[u8]) {
        let tag = &command[..2];
        let (code, pcr) = (u32_of(&command[6..10]), command.get(10..14).map(u32_of));
        self.commands += 1;
        self.locks += usize::from(code == PCR_EVENT && pcr == Some(7));
        let Some(header) = answer.get(..10) else { return };
        self.retries += usize::from(RETRY.contains(&u32_of(&header[6..])));
        // With a session it is more than one can see.
        let whole = answer.len() >= 14 && u32_of(&header[2..6]) as usize == answer.len() && answer.len() < LARGEST;
        self.worked |= tag == [0x80, 0x01] && header[..2] == *tag && header[6..] == [0; 4] && whole;
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}
