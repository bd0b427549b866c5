//! What an attacker on the wire can do to one command, or to its answer.

use super::answer::{Parts, with_foreign_key};
use Deed::{Change, Close, Delay, Fail, Say, SayFromNowOn, Silence};
use Must::{NotBeFooled, Refuse, Succeed};
use When::{After, Before};
use harness::{Action, Command, Interposer, Response, rc, sha256};
use std::{
    sync::{Arc, Mutex},
    thread::sleep,
    time::Duration,
};

/// An answer, and the code of the command that it answers.
#[derive(Clone)]
pub struct Answer {
    pub code: u32,
    pub bytes: Vec<u8>,
}

/// Whether the TPM has carried the command out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// What is known where an answer is to be made up.
pub struct Known<'a> {
    /// What the TPM says to this command in an honest run.
    pub honest: &'a Answer,
    /// The answers of this run so far.
    pub earlier: &'a [Answer],
    /// Those of an earlier boot.
    pub record: &'a [Answer],
}

/// What is done.
#[derive(Clone, Copy)]
pub enum Deed {
    /// The program waits for ever.
    Silence(When),
    /// The connection ends.
    Close(When),
    /// The answer comes later than `--wait`, and within the patience.
    Delay,
    /// The answer is another one. `None` where it has no such place.
    Change(fn(&Answer) -> Option<Vec<u8>>),
    /// The TPM is not asked, the program gets this code.
    Fail(u32),
    /// The TPM is not asked, the program gets this for a success. `None` where it makes no sense.
    Say(fn(&Known) -> Option<Vec<u8>>),
    /// So with all commands from this one on.
    SayFromNowOn(fn() -> Vec<u8>),
}

/// What may come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// It does no harm.
    Succeed,
    /// It is no answer: no command whose outcome counts can have had success.
    Refuse,
    /// It may be an answer: then nothing false comes of it.
    NotBeFooled,
}

/// A column of the matrix.
pub struct Harm {
    pub name: &'static str,
    pub deed: Deed,
    pub must: Must,
    /// How the program may end, beside success.
    pub may: &'static [i32],
    /// `--wait`, in seconds.
    pub wait: u32,
}

/// Whatever a message can say of a single fault: never that the lock is not proven.
const ANY: &[i32] = &[2, 10, 11, 12, 13, 14, 15];
/// A TPM that has been silent is not asked again.
const SILENT: &[i32] = &[15, 16];
const BROKEN_LINK: &[i32] = &[15];
const MALFORMED: &[i32] = &[14];
/// A TPM that says from one moment on that it cannot work.
const DEAD: &[i32] = &[10, 16];

const fn harm(name: &'static str, deed: Deed, must: Must, may: &'static [i32]) -> Harm {
    Harm { name, deed, must, may, wait: 10 }
}

/// Which leaves the program waiting.
const fn silent(name: &'static str, deed: Deed, must: Must, may: &'static [i32]) -> Harm {
    Harm { name, deed, must, may, wait: 1 }
}

const fn code(name: &'static str, code: u32) -> Harm {
    harm(name, Fail(code), NotBeFooled, ANY)
}

/// All columns.
pub const HARMS: &[Harm] = &[
    silent("command dropped", Silence(Before), Refuse, SILENT),
    silent("answer dropped", Silence(After), Refuse, SILENT),
    Harm { name: "late", deed: Delay, must: Succeed, may: &[], wait: 2 },
    harm("closed before", Close(Before), Refuse, BROKEN_LINK),
    harm("closed after", Close(After), Refuse, BROKEN_LINK),
    // Sizes: of the whole, and inside.
    silent("cut", Change(|a| Some(a.bytes[..a.bytes.len() - 1].to_vec())), Refuse, SILENT),
    harm("half", Change(|a| resized(a, |body| body[..body.len() / 2].to_vec())), Refuse, MALFORMED),
    harm(
        "one byte less",
        Change(|a| resized(a, |body| body[..body.len().saturating_sub(1)].to_vec())),
        Refuse,
        MALFORMED,
    ),
    // Where no session vouches for the whole, what follows is not looked at.
    harm("one byte more", Change(|a| resized(a, |body| [body, &[0]].concat())), NotBeFooled, MALFORMED),
    harm("5000 more", Change(|a| resized(a, |body| [body, &[0xff; 5000]].concat())), Refuse, MALFORMED),
    harm("more than said", Change(|a| Some([&a.bytes[..], &[0xff; 16]].concat())), Refuse, MALFORMED),
    harm("endless", Change(|a| replaced(a, 2, &[0xff; 4])), Refuse, MALFORMED),
    harm("huge sizes", Change(|a| replaced(a, 10, &[0xff; 6])), NotBeFooled, ANY),
    harm("noise", Change(|a| Some(noise(a.bytes.len()))), Refuse, MALFORMED),
    // One bit.
    harm("bit: tag", Change(|a| flipped(a, 1)), Refuse, MALFORMED),
    silent("bit: size", Change(|a| flipped(a, 5)), Refuse, &[14, 15, 16]),
    harm("bit: code", Change(|a| flipped(a, 9)), NotBeFooled, ANY),
    harm("bit: handle", Change(|a| flipped(a, Parts::of(a)?.handle?.start + 3)), NotBeFooled, ANY),
    harm("bit: first byte", Change(|a| flipped(a, Parts::of(a)?.first()?)), NotBeFooled, ANY),
    harm("bit: middle", Change(|a| flipped(a, Parts::of(a)?.middle()?)), NotBeFooled, ANY),
    harm("bit: last byte", Change(|a| flipped(a, Parts::of(a)?.last()?)), NotBeFooled, ANY),
    harm("bit: nonce", Change(|a| flipped(a, Parts::of(a)?.session?.nonce.start)), NotBeFooled, ANY),
    harm("bit: attributes", Change(|a| flipped(a, Parts::of(a)?.session?.attributes)), NotBeFooled, ANY),
    harm("bit: HMAC", Change(|a| flipped(a, Parts::of(a)?.session?.hmac.end - 1)), NotBeFooled, ANY),
    // Answers from elsewhere, and made up ones.
    harm("replay: same", Say(|known| Some(known.same().bytes.clone())), NotBeFooled, ANY),
    harm("replay: other", Say(|known| Some(known.other()?.bytes.clone())), NotBeFooled, ANY),
    harm("success: bare", Say(|known| known.forged(None)), NotBeFooled, ANY),
    harm("success: no HMAC", Say(|known| known.forged(Some(0))), NotBeFooled, ANY),
    harm("success: zeros", Say(|known| known.forged(Some(32))), NotBeFooled, ANY),
    // Codes of every family: format zero, handle, session, parameter, warnings, a vendor's, nonsense.
    code("code 101 FAILURE", rc::FAILURE),
    code("code 128 changed", rc::PCR_CHANGED),
    code("code 18b handle", rc::HANDLE | 0x100),
    code("code 98e session", 0x98e),
    code("code 1c4 value", rc::VALUE | 0x140),
    code("code 902 memory", 0x902),
    code("code 921 lockout", rc::LOCKOUT),
    harm("code 922 retry", Fail(rc::RETRY), Succeed, &[]),
    code("code 501 vendor", 0x501),
    // tpm2-tss has a code of its own that ends so: "try again".
    code("code 009", 9),
    code("code ffffffff", u32::MAX),
    harm("failure mode", SayFromNowOn(|| Response::error(rc::FAILURE).0), NotBeFooled, DEAD),
    harm("TPM 1.2", SayFromNowOn(|| Response::with(0x00c4, 0x1e, &[]).0), NotBeFooled, DEAD),
    // A key whose private half an attacker has.
    harm("foreign key", Change(with_foreign_key), NotBeFooled, ANY),
];

fn resized(answer: &Answer, change: fn(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    let (head, body) = answer.bytes.split_at_checked(10)?;
    let code = u32::from_be_bytes(head[6..].try_into().expect("four bytes"));
    Some(Response::with(u16::from_be_bytes([head[0], head[1]]), code, &change(body)).0)
}

fn replaced(answer: &Answer, at: usize, by: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = answer.bytes.clone();
    let end = bytes.len().min(at + by.len());
    bytes.get_mut(at..end)?.copy_from_slice(&by[..end - at]);
    Some(bytes)
}

fn flipped(answer: &Answer, at: usize) -> Option<Vec<u8>> {
    let mut bytes = answer.bytes.clone();
    *bytes.get_mut(at)? ^= 1;
    Some(bytes)
}

/// The same each time.
fn noise(size: usize) -> Vec<u8> {
    (0..size).map(|at| sha256(&[&at.to_be_bytes()])[0]).collect()
}

impl Known<'_> {
    /// The last answer to the same command, if need be an earlier boot's.
    fn same(&self) -> &Answer {
        self.earlier.iter().rev().find(|answer| answer.code == self.honest.code).unwrap_or(self.honest)
    }

    /// The last answer to another command.
    fn other(&self) -> Option<&Answer> {
        let is_other = |answer: &&Answer| answer.code != self.honest.code;
        self.earlier.iter().rev().find(is_other).or_else(|| self.record.iter().rev().find(is_other))
    }

    /// The least success that is well-formed, with as many zeros as the TPM would give bytes; `None` without sessions
    /// where the TPM would give none either.
    fn forged(&self, hmac: Option<usize>) -> Option<Vec<u8>> {
        let parts = Parts::of(self.honest)?;
        let handle = &[0; 4][..if parts.handle.is_some() { 4 } else { 0 }];
        let Some(hmac) = hmac else { return Some(Response::with(0x8001, 0, handle).0) };
        let zeros = vec![0; parts.parameters.len()];
        let size = u32::try_from(zeros.len()).expect("an answer is small").to_be_bytes();
        let sized = |count: usize| [&u16::try_from(count).expect("small").to_be_bytes()[..], &vec![0; count]].concat();
        let session = [sized(hmac), vec![1], sized(hmac)].concat();
        parts.session?;
        Some(Response::with(0x8002, 0, &[handle, &size, &zeros, &session.repeat(parts.sessions)].concat()).0)
    }
}

/// Where a run is.
#[derive(Default)]
struct Progress {
    commands: usize,
    earlier: Vec<Answer>,
}

impl Harm {
    /// Whether it makes any difference to the command that an honest TPM answers so.
    pub fn applies(&self, at: usize, record: &[Answer]) -> bool {
        let honest = &record[at];
        match self.deed {
            Change(change) => change(honest).is_some_and(|bytes| bytes != honest.bytes),
            Say(say) => {
                say(&Known { honest, earlier: &record[..at], record }).is_some_and(|bytes| bytes != honest.bytes)
            }
            _ => true,
        }
    }

    /// Has it done to the command `at`, counted from now.
    pub fn arm(&'static self, wire: &Interposer, at: usize, record: &Arc<Vec<Answer>>) {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (shared, record) = (progress.clone(), record.clone());
        wire.on_command(move |_: &Command| {
            let mut progress = shared.lock().expect("no panic");
            progress.commands += 1;
            match self.deed {
                SayFromNowOn(say) if progress.commands > at => Action::Reply(say()),
                _ if progress.commands != at + 1 => Action::Forward,
                Silence(Before) => Action::Drop,
                Close(Before) => Action::Close,
                Fail(code) => Action::Reply(Response::error(code).0),
                Say(say) => {
                    let known = Known { honest: &record[at], earlier: &progress.earlier, record: &record };
                    say(&known).map_or(Action::Forward, Action::Reply)
                }
                _ => Action::Forward,
            }
        });
        wire.on_response(move |command, response| {
            let answer = Answer { code: command.code(), bytes: response.0 };
            let mut progress = progress.lock().expect("no panic");
            progress.earlier.push(answer.clone());
            if progress.commands != at + 1 {
                return Action::Forward;
            }
            drop(progress);
            match self.deed {
                Silence(After) => Action::Drop,
                Close(After) => Action::Close,
                Delay => {
                    // Longer than `--wait`; three times that is allowed.
                    sleep(Duration::from_millis(u64::from(self.wait) * 1100));
                    Action::Forward
                }
                Change(change) => change(&answer).map_or(Action::Forward, Action::Reply),
                _ => Action::Forward,
            }
        });
    }
}
