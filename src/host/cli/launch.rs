//! `trust launch`.

use super::{HostCommand, machine};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::interrupt,
        keyset::{Keyset, check_name, project},
        machine::launch::{
            accelerator::Accelerator,
            boot::GuestEvent,
            facts::Images,
            firmware::FirmwareFiles,
            lifecycle::{self, NewMachine, Progress, Request, Step},
        },
        predict::databases::Chain,
        say::{
            output::{self, Tone},
            progress::Waiting,
        },
    },
};
use clap::{Parser, ValueHint};
use serde_json::json;
use std::{
    ffi::OsString,
    path::{self, Path, PathBuf},
    time::{Duration, Instant},
};

const HELP: &str = "\
The machine has a firmware that starts what the keyset has signed and nothing else, a TPM, and a disk, /dev/vda.
It lives a machine's life: its identity (SUDI) is made in the project; the provisioning image stores it in the TPM;
the installing image makes the disk; the production image is what it boots from then on.

The provisioning image (of kind limited) finds cert.pem and privkey.pem on a vfat disk with the label trust-data. It says
that it is done by switching the machine off, and so does the installing image (of kind production); a restart is a
failure, and so is silence. Then the TPM must hold the certificate, and the disk a LUKS2 volume. What has been reached is
kept: the same command, or --again, goes on from there.

Without --console the machine runs until it switches itself off, or Ctrl-C presses its power button; its messages go to
console.log in its directory, $XDG_DATA_HOME/machine/trust/vms/NAME. Images whose command line lacks console=ttyS0 write
nothing there. With --console, Ctrl-A X switches it off and Ctrl-A H lists the other keys. It never outlives
this command. Its directory stays: to remove the machine, remove that.

Exit status: 20 when the guest has not done what it was to do, or restarts again and again; 12 when the firmware does not
start an image; 2 for what was asked, 15 for the system; 130 after Ctrl-C.

Examples:
  trust launch m1 --project acme:router --images build
  trust launch m1 --again --console
  trust launch m1 --again --image build/next.efi --until 'login:' --timeout 120
  trust launch m2 --project acme:router --images build --skip-install \\
    -- -nic user,model=virtio-net-pci";

/// Run a virtual machine that lives a machine's life: provisioned, installed, booted
#[derive(Parser)]
#[command(name = "launch", after_help = HELP)]
pub struct Launch {
    /// Name of the machine
    name: String,
    /// The keyset that it belongs to, and the project that gives it its identity
    #[arg(long, value_name = "KEYSET:PROJECT", required_unless_present = "again")]
    project: Option<String>,
    /// Start a machine that is there
    #[arg(long, conflicts_with_all = ["project", "serial", "chain", "db", "dbx", "firmware", "variables", "disk_size"])]
    again: bool,
    /// Install its disk anew
    #[arg(long, requires = "again", conflicts_with = "skip_install")]
    reinstall: bool,
    /// Serial number of the machine, which may be in the project already [default: a random UUID]
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
    /// Where provision.efi, install.efi and production.efi are
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    images: Option<PathBuf>,
    /// The image that provisions the TPM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    provision_image: Option<PathBuf>,
    /// The image that installs the disk
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    install_image: Option<PathBuf>,
    /// The image that it runs [default: what it finds on its disk]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    image: Option<PathBuf>,
    /// Leave the disk empty, now and later
    #[arg(long)]
    skip_install: bool,
    #[command(flatten)]
    databases: machine::DatabaseOptions,
    /// The shim that the firmware starts before each image, signed for the keyset's db
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    shim: Option<PathBuf>,
    /// The firmware's code: OVMF with Secure Boot and SMM [default: that of this system]
    #[arg(long, value_name = "FILE", requires = "variables", value_hint = ValueHint::FilePath)]
    firmware: Option<PathBuf>,
    /// Its variables, without keys
    #[arg(long, value_name = "FILE", requires = "firmware", value_hint = ValueHint::FilePath)]
    variables: Option<PathBuf>,
    /// What runs it [default: kvm if a firmware answers with it, else tcg]
    #[arg(long, value_name = "NAME")]
    accelerator: Option<Accelerator>,
    /// Its memory [default: 2048, or as before]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(128..=1_048_576))]
    memory: Option<u32>,
    /// How many processors it has [default: 1, or as before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    processors: Option<u32>,
    /// The size of its disk, which takes no room before it is written to
    #[arg(long, value_name = "MIB", default_value = "10240", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    disk_size: u64,
    /// Show its console here
    #[arg(long, conflicts_with = "json")]
    console: bool,
    /// Switch it off when its console shows this text; if it goes off before, that is a failure
    #[arg(long, value_name = "TEXT")]
    until: Option<String>,
    /// How long each boot may take [default: 600 for provisioning and installing, no limit after that]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Each step as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
    /// Further options of QEMU, for this time
    #[arg(last = true, value_name = "QEMU_OPTION")]
    more: Vec<OsString>,
}

impl HostCommand for Launch {
    fn run(self) -> Result<()> {
        let request = Request {
            name: self.name.clone(),
            images: self.images()?,
            directory: self.images.clone(),
            reinstall: self.reinstall,
            skip_install: self.skip_install,
            memory: self.memory,
            processors: self.processors,
            accelerator: self.accelerator,
            terminal: self.console,
            until: self.until.clone().filter(|text| !text.is_empty()),
            timeout: self.timeout.map(|seconds| Duration::from_secs(seconds.into())),
            more: self.more.clone(),
        };
        let mut printer = Printer { json: self.json, terminal: self.console, start: Instant::now(), step: None };
        let mut report = |progress: Progress<'_>| printer.print(progress);
        match &self.project {
            Some(project) => lifecycle::first(&self.new_machine(project)?, &request, &mut report)?,
            None => lifecycle::again(&request, &mut report)?,
        }
        // Ctrl-C has ended this command, too: a script stops there.
        if let Some(signal) = interrupt::pending() {
            interrupt::end_by(signal);
        }
        Ok(())
    }
}

impl Launch {
    fn new_machine(&self, project: &str) -> Result<NewMachine> {
        let usage = |what: &str, why: &str| Error::new(Kind::Usage, what.to_owned(), why.to_owned());
        let (keyset, project) = project.rsplit_once(':').ok_or_else(|| {
            usage(&format!("use --project {project}"), "it names a keyset and no project")
                .remedy(format!("give --project {project}:default, or another project of the keyset"))
        })?;
        let keyset = Keyset::open(keyset)?;
        check_name("virtual machine", &self.name)?;
        if let Some(serial) = &self.serial {
            project::check_serial(serial)?;
        }
        match (self.databases.given_chain(), &self.shim) {
            (Some(Chain::Direct), Some(_)) => {
                return Err(usage("use --shim", "the chain is direct, without a shim")
                    .remedy("give --chain shim, or no --shim"));
            }
            (Some(Chain::Shim), None) => {
                return Err(usage("launch a machine with a shim", "none is given").remedy("name it with --shim"));
            }
            _ => {}
        }
        let firmware = match (&self.firmware, &self.variables) {
            (Some(code), Some(variables)) => Some(FirmwareFiles { code: there(code)?, variables: there(variables)? }),
            _ => None,
        };
        Ok(NewMachine {
            foreign: self.databases.foreign(&keyset)?,
            keyset,
            project: project.to_owned(),
            serial: self.serial.clone(),
            firmware,
            disk: self.disk_size << 20,
        })
    }

    /// The images that are given, one by one or in a directory.
    fn images(&self) -> Result<Images> {
        let find = |given: &Option<PathBuf>, name: &str| {
            let in_dir = || Some(self.images.as_ref()?.join(name)).filter(|path| path.exists());
            given.clone().or_else(in_dir).map(|path| absolute(&path)).transpose()
        };
        if let Some(dir) = self.images.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(Error::new(
                Kind::Usage,
                format!("use the images in {}", dir.display()),
                "it is not a directory",
            ));
        }
        Ok(Images {
            provision: find(&self.provision_image, "provision.efi")?,
            install: find(&self.install_image, "install.efi")?,
            production: find(&self.image, "production.efi")?,
            shim: self.shim.as_deref().map(absolute).transpose()?,
        })
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path::absolute(path).map_err(|e| crate::host::fs::atomic::cannot("find", path, &e))
}

/// The absolute path of a file that exists.
fn there(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| crate::host::fs::atomic::cannot("use", path, &e))
}

/// Prints the progress, for a person or a program.
struct Printer {
    json: bool,
    terminal: bool,
    start: Instant,
    /// The current step, and the progress indicator while it is waited for.
    step: Option<(Step, String, Option<Waiting>)>,
}

impl Printer {
    fn print(&mut self, progress: Progress<'_>) -> Result<()> {
        match progress {
            Progress::Begun(step, what) => self.begun(step, what),
            Progress::Done(step) => self.done(step),
            Progress::Emulated(why) if self.json => output::line(json!({"state": "emulated", "why": why})),
            Progress::Emulated(why) => self.line(None, "emulated", &format!("{why}; it takes about ten times as long")),
            Progress::Guest(GuestEvent::Running) => {
                if let Some((_, _, Some(waiting))) = &mut self.step {
                    waiting.show();
                }
                Ok(())
            }
            Progress::Guest(GuestEvent::Started) => self.started(),
            Progress::Guest(GuestEvent::Restarted(_)) if self.json => self.event("restarted"),
            Progress::Guest(GuestEvent::Restarted(_)) if self.terminal => Ok(()),
            Progress::Guest(GuestEvent::Restarted(why)) => self.line(None, "restarts", why),
        }
    }

    fn begun(&mut self, step: Step, what: &str) -> Result<()> {
        let waits = !self.json && !self.terminal;
        let waiting = waits.then(|| Waiting::new(format!("{} {what}", word(step))));
        self.step = Some((step, what.to_owned(), waiting));
        if self.json {
            return self.event("begun");
        }
        // From now on the terminal is the machine's.
        if step == Step::Run && self.terminal {
            return self.line(None, "starts", &format!("{what}; Ctrl-A X switches it off"));
        }
        Ok(())
    }

    fn started(&mut self) -> Result<()> {
        let Some((Step::Run, what, waiting)) = &mut self.step else { return Ok(()) };
        // The end of the last one is not waited for.
        *waiting = None;
        let what = format!("{what}; Ctrl-C switches it off");
        match (self.json, self.terminal) {
            (true, _) => self.event("running"),
            (_, true) => Ok(()),
            _ => self.line(None, "runs", &what),
        }
    }

    fn done(&mut self, step: Step) -> Result<()> {
        if self.json {
            return self.event("done");
        }
        let Some((_, what, _)) = self.step.take() else { return Ok(()) };
        let (word, what) = match step {
            Step::Make => ("made", what),
            Step::Resume => ("goes on", what),
            Step::Identity => ("identity", what),
            Step::Provision => ("provisioned", what),
            Step::Install => ("installed", what),
            Step::Run => ("off", String::new()),
        };
        self.line(Some(Tone::Good), word, &what)
    }

    /// What has come of it, and how long after the beginning.
    fn line(&self, tone: Option<Tone>, word: &str, what: &str) -> Result<()> {
        // Colours have no width.
        let word = format!("{word:<12}");
        let word = tone.map_or_else(|| word.clone(), |tone| output::coloured(tone, &word));
        output::line(format!("{:>5} s  {word} {what}", self.start.elapsed().as_secs()).trim_end())
    }

    fn event(&self, state: &str) -> Result<()> {
        let Some((step, what, _)) = &self.step else { return Ok(()) };
        output::line(
            json!({"step": word(*step), "state": state, "what": what, "seconds": self.start.elapsed().as_secs()}),
        )
    }
}

/// A step, for a program and while it is waited for.
const fn word(step: Step) -> &'static str {
    match step {
        Step::Make => "make",
        Step::Resume => "resume",
        Step::Identity => "identity",
        Step::Provision => "provision",
        Step::Install => "install",
        Step::Run => "run",
    }
}
