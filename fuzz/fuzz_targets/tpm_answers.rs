//! `setup`, `preinit` and `lock`, from the connection to the lock, with a TPM that answers what it likes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        LazyLock, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};
use trust_fuzz::{Job, answer, pcr7data, socket};

/// Answers come from a thread that is there for as long as the process is.
struct Liar {
    socket: PathBuf,
    inputs: SyncSender<Vec<u8>>,
    done: Mutex<Receiver<()>>,
}

static LIAR: LazyLock<Liar> = LazyLock::new(|| {
    let socket = socket();
    let listener = UnixListener::bind(&socket).expect("a writable directory");
    let (inputs, next) = sync_channel::<Vec<u8>>(1);
    let (over, done) = sync_channel(1);
    thread::spawn(move || {
        for input in next {
            answer(&listener, &input);
            let _ = over.send(());
        }
    });
    Liar { socket, inputs, done: Mutex::new(done) }
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, answers)) = bytes.split_first() else { return };
    let Some(job) = Job::ALL.get(usize::from(*first)) else { return };
    LIAR.inputs.send(answers.to_vec()).expect("it waits");
    let outcome = job.run(&LIAR.socket, pcr7data(), Duration::from_millis(100));
    LIAR.done.lock().expect("one thread").recv().expect("it answers");
    match (job, outcome) {
        // Nobody can give another passphrase than the TPM, and it has this size.
        (Job::Setup | Job::Preinit, Ok(sizes)) => assert_eq!(sizes.first(), Some(&40)),
        (Job::Lock, Ok(sizes)) => assert_eq!(sizes, []),
        (_, Err(error)) => {
            let text = error.to_string();
            assert!(text.starts_with("cannot ") && text.len() < 1000 && !text.contains('\n'), "{text:?}");
        }
    }
});
