//! `trust fss setup` and `trust fss rotate`.

use super::FssOptions;
use crate::{
    console,
    digest::hex,
    error::Result,
    host::{
        cli::plaintext,
        fss::{
            KeyRecord, picture,
            setup::{KeysOutcome, NewSealingKeys, begin_new_file},
        },
        journal::files,
        say::output,
    },
};
use clap::Args;

pub(super) const SETUP_HELP: &str = "\
journalctl makes the key pair. The sealing key stays where journald looks for it; the verification key goes through a pipe
into the TPM, and nowhere else: no file, no command line, no terminal. On a machine of a keyset it is then for the
running system of every boot that is signed for production (--system); elsewhere, unless something else is given, for
PCR 7 as it is now.

Examples:
  trust fss setup
  trust fss setup --interval 5min
  trust fss setup --pcr sha256:7,14
  trust fss setup --print >offline-copy

If it is cut off anywhere, the next run completes it. journald is told to begin a new file: no file is continued under
another key.";

pub(super) const ROTATE_HELP: &str = "\
Older keys stay, so that older journals can still be verified; the counter in the TPM is incremented.

Examples:
  trust fss rotate
  trust fss status";

/// How keys are made, and who sees them.
#[derive(Args)]
struct NewKeyOptions {
    /// How long each sealing key is used before the next one replaces it, as in systemd.time(7) [default: 15min]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// Print the verification key, for a copy that is kept elsewhere
    #[arg(long)]
    print: bool,
    /// Show it as a QR code, for a camera
    #[arg(long, conflicts_with = "print")]
    qr: bool,
    #[command(flatten)]
    options: FssOptions,
}

/// `trust fss setup`
#[derive(Args)]
pub struct FssSetup {
    /// Replace a sealing key that was made without the TPM; what it has sealed is verified with its own verification key
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    keys: NewKeyOptions,
}

/// `trust fss rotate`
#[derive(Args)]
pub struct FssRotate {
    #[command(flatten)]
    keys: NewKeyOptions,
}

impl FssSetup {
    pub(super) fn run(self) -> Result<()> {
        self.keys.make(self.replace, true)
    }
}

impl FssRotate {
    pub(super) fn run(self) -> Result<()> {
        self.keys.make(true, false)
    }
}

impl NewKeyOptions {
    fn make(&self, replace: bool, is_first: bool) -> Result<()> {
        let machine = files::machine_id()?;
        let (mut space, policies) = self.options.open()?;
        self.options.say_default(&policies);
        let new = NewSealingKeys { machine, interval: self.interval.as_deref(), policies: &policies, replace };
        let outcome = if is_first { new.set_up(&mut space)? } else { new.rotate(&mut space)? };
        match outcome {
            KeysOutcome::Made(record, key) => {
                if self.print {
                    plaintext::write(None, &key.to_secret()?)?;
                    output::line("")?;
                } else if self.qr {
                    output::line(picture(&key, &machine)?.as_str())?;
                } else {
                    output::line(sentence(&record))?;
                }
            }
            KeysOutcome::Completed(record) => {
                console::note("an earlier run was cut off, and is now complete");
                output::line(sentence(&record))?;
            }
        }
        if begin_new_file() {
            console::note("journald has begun a new file, which is sealed with it");
        } else {
            console::note("have journald begin a new file before it is started again: `journalctl --rotate`");
        }
        Ok(())
    }
}

fn sentence(record: &KeyRecord) -> String {
    format!("generation {}, fingerprint {}", record.number, hex(&record.fingerprint))
}
