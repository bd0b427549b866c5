//! The lifecycle of a machine: made, provisioned, installed, and from then on booted.
//!
//! Provisioning and installation images report success by powering off, and failure by a restart or a timeout. The guest
//! is not trusted with this: after a success the TPM must hold the machine's identity, and the disk a LUKS2 volume.

use super::{
    accelerator::Accelerator,
    boot::{Boot, GuestEvent},
    console,
    directory::Directory,
    disks,
    facts::{Hardware, Images, MachineFacts, Reached},
    firmware::FirmwareFiles,
    process, qemu, tpm,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{atomic, interrupt},
        keyset::{Keyset, Place, project, srk},
        machine::enroll::variables,
        predict::databases::{Chain, Databases, Foreign},
    },
    tpm::Tpm,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// How long provisioning and installing may take, each, by default.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A machine to be made.
pub struct NewMachine {
    /// The keyset that it belongs to.
    pub keyset: Keyset,
    /// Its project of that keyset: a product.
    pub project: String,
    /// Its serial number; by default a random one.
    pub serial: Option<String>,
    /// What its firmware trusts beside the keyset's keys.
    pub foreign: Foreign,
    /// Its firmware, by default that of this system.
    pub firmware: Option<FirmwareFiles>,
    /// The size of its disk in bytes.
    pub disk: u64,
}

/// What is asked for in one launch of a machine, new or not.
pub struct Request {
    /// Its name.
    pub name: String,
    /// The images given; for those missing here, the ones that it was given before are used.
    pub images: Images,
    /// The directory in which they were looked for.
    pub directory: Option<PathBuf>,
    /// Whether its disk is installed again.
    pub reinstall: bool,
    /// Whether its disk is never installed.
    pub skip_install: bool,
    /// Its memory in MiB; by default as before.
    pub memory: Option<u32>,
    /// How many processors it has; by default as before.
    pub processors: Option<u32>,
    /// How QEMU runs it; by default the fastest way available.
    pub accelerator: Option<Accelerator>,
    /// Whether its console is the terminal.
    pub terminal: bool,
    /// The console output after which it is powered off.
    pub until: Option<String>,
    /// How long each of its boots may take.
    pub timeout: Option<Duration>,
    /// Further options of QEMU.
    pub more: Vec<OsString>,
}

/// A step of the lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its firmware gets the keys, its TPM and its disk are made.
    Make,
    /// An earlier launch that failed is resumed.
    Resume,
    /// Its identity is made in the project, or found there.
    Identity,
    /// The identity is stored in the TPM.
    Provision,
    /// The disk is installed.
    Install,
    /// It runs.
    Run,
}

/// What is reported while it happens.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A step begins, with this image or name.
    Begun(Step, &'a str),
    /// The step has succeeded.
    Done(Step),
    /// What the machine does meanwhile.
    Guest(GuestEvent<'a>),
    /// The machine is emulated, for this reason.
    Emulated(&'a str),
}

/// Receives the progress. An error of it ends the launch.
pub type ReportProgress<'a> = &'a mut dyn FnMut(Progress<'_>) -> Result<()>;

/// Makes a machine, and boots it. One that was made by the same command and has failed is resumed: the steps that are left
/// are done as the command says now.
///
/// # Errors
/// [`Kind::Usage`]: it exists, or something that it needs does not; nothing has been made then. Otherwise as [`again`].
pub fn first(new: &NewMachine, request: &Request, report: ReportProgress<'_>) -> Result<()> {
    let firmware = process::ensure_installed(new.firmware.clone().or_else(FirmwareFiles::installed))?;
    let (directory, facts) = if Directory::exists(&request.name)? {
        let (directory, old) = Directory::open(&request.name)?;
        if let Some(why) = mismatch(&old, new) {
            return Err(directory.taken(&request.name, &why));
        }
        check_images(&request.images, old.reached, request)?;
        report(Progress::Begun(Step::Resume, &request.name))?;
        let facts = make(directory.path(), new, &firmware, request, Some(&old))?;
        facts.write(directory.path())?;
        report(Progress::Done(Step::Resume))?;
        (directory, facts)
    } else {
        check_images(&request.images, Reached::Made, request)?;
        report(Progress::Begun(Step::Make, &request.name))?;
        let made = Directory::create(&request.name, |dir| make(dir, new, &firmware, request, None))?;
        report(Progress::Done(Step::Make))?;
        made
    };
    advance(&directory, facts, request, report)
}

/// Why an existing machine is not the one to be made, if it is another.
fn mismatch(old: &MachineFacts, new: &NewMachine) -> Option<String> {
    let MachineFacts { keyset, project, serial, .. } = old;
    if old.reached == Reached::Ran {
        return Some("and it has run".into());
    }
    if (keyset, project) != (&named(&new.keyset), &new.project) {
        return Some(format!("of project {keyset}:{project}"));
    }
    (new.serial.as_ref().is_some_and(|given| given != serial)).then(|| format!("with the serial number {serial}"))
}

/// How a keyset is named in the facts: by its name, or else by its directory, so that it is found from anywhere.
fn named(keyset: &Keyset) -> String {
    let by_name = Keyset::open(keyset.name()).is_ok_and(|found| found.path() == keyset.path());
    if by_name { keyset.name().to_owned() } else { keyset.path().display().to_string() }
}

/// Boots a machine that exists, from the step that it has reached.
///
/// # Errors
/// [`Kind::Usage`]: there is none, or an image is missing; [`Kind::Refused`]: the firmware does not start an image;
/// [`Kind::Guest`]: an image did not do its job. What had been reached before is kept.
pub fn again(request: &Request, report: ReportProgress<'_>) -> Result<()> {
    let (directory, mut facts) = Directory::open(&request.name)?;
    let firmware = process::ensure_installed(Some(&facts.hardware.firmware))?;
    firmware.metadata().map_err(|e| atomic::cannot("use the machine's firmware", firmware, &e))?;
    let Images { provision, install, production, shim } = request.images.clone();
    let known = facts.images;
    if known.shim.is_none() && shim.is_some() {
        return Err(Error::new(Kind::Usage, "use --shim", "the firmware of this machine checks the images itself")
            .remedy("launch a new machine with --chain shim"));
    }
    facts.images = Images {
        provision: provision.or(known.provision),
        install: install.or(known.install),
        production: production.or(known.production),
        shim: shim.or(known.shim),
    };
    let Hardware { firmware, memory, processors } = facts.hardware;
    facts.hardware = Hardware {
        firmware,
        memory: request.memory.unwrap_or(memory),
        processors: request.processors.unwrap_or(processors),
    };
    if request.reinstall {
        facts.reached = facts.reached.min(Reached::Provisioned);
    }
    check_images(&facts.images, facts.reached, request)?;
    facts.write(directory.path())?;
    advance(&directory, facts, request, report)
}

/// Ensures that the images of the remaining steps exist.
fn check_images(images: &Images, reached: Reached, request: &Request) -> Result<()> {
    let provision =
        (reached < Reached::Provisioned).then_some(("provision.efi", "--provision-image", &images.provision));
    let installs = reached < Reached::Installed && !request.skip_install;
    let install = installs.then_some(("install.efi", "--install-image", &images.install));
    // Without one it boots from its disk; but a directory that is named is expected to hold one.
    let production = request.directory.as_ref().map(|_| ("production.efi", "--image", &images.production));
    let needed = [provision, install, production].into_iter().flatten();
    let missing: Vec<_> = needed.filter(|(.., image)| image.is_none()).collect();
    if !missing.is_empty() {
        let [names, options] = [0, 1].map(|which| {
            let words: Vec<_> =
                missing.iter().map(|(name, option, _)| if which == 0 { *name } else { *option }).collect();
            words.join(if which == 0 { " and no " } else { ", " })
        });
        let why = match &request.directory {
            Some(directory) => format!("{} has no {names}", directory.display()),
            None => format!("there is no {names}"),
        };
        let skip =
            if missing.iter().any(|(name, ..)| *name == "install.efi") { ", or give --skip-install" } else { "" };
        return Err(Error::new(Kind::Usage, format!("launch {:?}", request.name), why)
            .remedy(format!("name a directory of images with --images, or files with {options}{skip}")));
    }
    for path in [&images.provision, &images.install, &images.production, &images.shim].into_iter().flatten() {
        let metadata = path.metadata().map_err(|e| atomic::cannot("use the image", path, &e))?;
        if !metadata.is_file() {
            return Err(Error::new(Kind::Usage, format!("use the image {}", path.display()), "it is not a file"));
        }
    }
    Ok(())
}

/// Upper bound for a variable store, in bytes.
const MAX_VARIABLES: u64 = 64 << 20;

/// Makes what a machine consists of before its first boot; of a resumed one, only what its remaining steps need.
fn make(
    dir: &Path,
    new: &NewMachine,
    firmware: &FirmwareFiles,
    request: &Request,
    old: Option<&MachineFacts>,
) -> Result<MachineFacts> {
    let NewMachine { keyset, project, .. } = new;
    project::open(keyset, project)?;
    let chain = if request.images.shim.is_some() { Chain::Shim } else { Chain::Direct };
    let databases = Databases::of(keyset, chain, &new.foreign)?;
    let image = atomic::read_up_to(&firmware.variables, MAX_VARIABLES)?;
    let enrolled = variables::enroll(&image, &databases, variables::signed_at(keyset)?)
        .map_err(|e| e.within(format!("use {}", firmware.variables.display())))?;
    atomic::replace(&dir.join(qemu::VARIABLES), atomic::PRIVATE, &enrolled)?;
    let reached = old.map_or(Reached::Made, |old| old.reached);
    if reached < Reached::Provisioned {
        tpm::make(dir)?;
    }
    if reached < Reached::Installed {
        disks::empty(&dir.join(disks::DISK), new.disk)?;
    }
    let serial = old.map(|old| old.serial.clone()).or_else(|| new.serial.clone());
    Ok(MachineFacts {
        keyset: named(keyset),
        project: project.clone(),
        serial: serial.unwrap_or_else(|| Uuid::new_v4().to_string()),
        images: request.images.clone(),
        hardware: Hardware {
            firmware: firmware.code.clone(),
            memory: request.memory.unwrap_or(MEMORY),
            processors: request.processors.unwrap_or(PROCESSORS),
        },
        reached,
    })
}

/// Default memory of a machine, in MiB.
pub const MEMORY: u32 = 2048;
/// Default number of processors of a machine.
pub const PROCESSORS: u32 = 1;

/// Takes a machine through the remaining steps.
fn advance(directory: &Directory, facts: MachineFacts, request: &Request, report: ReportProgress<'_>) -> Result<()> {
    // From here on Ctrl-C ends the current step in order, and not this process.
    interrupt::defer();
    let dir = directory.path();
    console::clear(dir)?;
    if facts.reached < Reached::Provisioned {
        identify(&facts, report)?;
    }
    let accelerator = match request.accelerator {
        Some(given) => given,
        None => {
            let (found, why) = Accelerator::find(dir, &facts.hardware.firmware)?;
            why.map_or(Ok(()), |why| report(Progress::Emulated(&why)))?;
            found
        }
    };
    let mut lifecycle = Lifecycle { dir, facts, request, accelerator };
    let name = &request.name;
    let reached = lifecycle.facts.reached;
    if reached < Reached::Provisioned {
        lifecycle
            .provision(report)
            .map_err(|e| lifecycle.remedied(e, &format!("`trust launch {name} --again` continues")))?;
        lifecycle.reach(Reached::Provisioned)?;
    }
    if reached < Reached::Installed {
        if !request.skip_install {
            lifecycle
                .install(report)
                .map_err(|e| lifecycle.remedied(e, &format!("`trust launch {name} --again` continues")))?;
        }
        lifecycle.reach(Reached::Installed)?;
    }
    lifecycle.run(report).map_err(|e| lifecycle.remedied(e, "read the rest there"))?;
    lifecycle.reach(Reached::Ran)
}

/// Makes a machine's identity in the project, unless it is there already.
fn identify(facts: &MachineFacts, report: ReportProgress<'_>) -> Result<()> {
    let MachineFacts { keyset, project, serial, .. } = facts;
    let keyset = Keyset::open(keyset)?;
    report(Progress::Begun(Step::Identity, serial))?;
    if !project::open(&keyset, project)?.join(project::MACHINES).join(serial).is_dir() {
        project::add_machine(&keyset, project, serial, None)?;
    }
    report(Progress::Done(Step::Identity))
}

struct Lifecycle<'a> {
    dir: &'a Path,
    facts: MachineFacts,
    request: &'a Request,
    accelerator: Accelerator,
}

impl Lifecycle<'_> {
    fn reach(&mut self, reached: Reached) -> Result<()> {
        self.facts.reached = reached;
        self.facts.write(self.dir)
    }

    /// Adds the place of the console log to an error that has no remedy of its own.
    fn remedied(&self, error: Error, what: &str) -> Error {
        match error.kind() {
            Kind::Guest | Kind::System => {
                error.remedy(format!("see {}; {what}", self.dir.join(console::FILE).display()))
            }
            _ => error,
        }
    }

    /// The directory of its identity, in the project.
    fn credentials(&self) -> Result<PathBuf> {
        let MachineFacts { keyset, project, serial, .. } = &self.facts;
        Ok(Place::Machine(project.clone(), serial.clone()).path(&Keyset::open(keyset)?))
    }

    fn provision(&self, report: ReportProgress<'_>) -> Result<()> {
        let what = format!("provision the machine {:?}", self.request.name);
        let credentials = self.credentials()?;
        let certificate = atomic::read(&credentials.join("cert.pem"))?;
        let disk = disks::IdentityDisk::make(self.dir.join(disks::IDENTITY), &credentials)?;
        self.boot_once(Step::Provision, &what, self.facts.images.provision.as_deref(), true, report)?;
        drop(disk);
        if !tpm::ask(self.dir, |tpm| tpm.is_provisioned_with(&certificate))? {
            let why = "the guest powered off, but its TPM does not hold the machine's certificate";
            return Err(Error::new(Kind::Guest, what, why));
        }
        self.sign_storage_root_key()?;
        report(Progress::Done(Step::Provision))
    }

    /// Has the keyset's authority sign the storage root key of the TPM, if its boots ask for that.
    fn sign_storage_root_key(&self) -> Result<()> {
        let keyset = Keyset::open(&self.facts.keyset)?;
        if !srk::is_pinned(&keyset) {
            return Ok(());
        }
        let why = "it has no storage root key that an authority could sign";
        let key = tpm::ask(self.dir, Tpm::into_storage_root_key)?
            .ok_or_else(|| Error::new(Kind::Unprovisioned, "certify the machine's TPM", why))?;
        srk::sign(&keyset, &key.name(), &self.dir.join(disks::SRK_SIGNATURE))
    }

    fn install(&self, report: ReportProgress<'_>) -> Result<()> {
        let what = format!("install the machine {:?}", self.request.name);
        self.boot_once(Step::Install, &what, self.facts.images.install.as_deref(), false, report)?;
        if !disks::holds_luks2(&self.dir.join(disks::DISK))? {
            return Err(Error::new(
                Kind::Guest,
                what,
                "the guest powered off, but there is no LUKS2 volume on its disk",
            ));
        }
        report(Progress::Done(Step::Install))
    }

    /// Boots an image that does one job and powers off.
    fn boot_once(
        &self,
        step: Step,
        what: &str,
        image: Option<&Path>,
        identity: bool,
        report: ReportProgress<'_>,
    ) -> Result<()> {
        let timeout = Some(self.request.timeout.unwrap_or(TIMEOUT));
        self.boot(step, what, image, &Boot { identity, timeout, ..self.defaults() }, report)
    }

    /// Boots the production image, or its own disk.
    fn run(&self, report: ReportProgress<'_>) -> Result<()> {
        let what = format!("run the machine {:?}", self.request.name);
        let until = self.request.until.as_deref();
        let boot = Boot { stays: true, timeout: self.request.timeout, until, ..self.defaults() };
        self.boot(Step::Run, &what, self.facts.images.production.as_deref(), &boot, report)?;
        report(Progress::Done(Step::Run))
    }

    fn defaults(&self) -> Boot<'_> {
        Boot {
            dir: self.dir,
            hardware: &self.facts.hardware,
            accelerator: self.accelerator,
            medium: true,
            identity: false,
            stays: false,
            terminal: self.request.terminal,
            timeout: None,
            until: None,
            more: &self.request.more,
        }
    }

    fn boot(
        &self,
        step: Step,
        what: &str,
        image: Option<&Path>,
        boot: &Boot<'_>,
        report: ReportProgress<'_>,
    ) -> Result<()> {
        let medium = self.dir.join(disks::BOOT);
        match image {
            Some(image) => disks::bootable(&medium, image, self.facts.images.shim.as_deref())?,
            None => drop(std::fs::remove_file(&medium)),
        }
        let name = image.map_or_else(|| "its own disk".into(), |image| image.display().to_string());
        report(Progress::Begun(step, &name))?;
        let boot = Boot { medium: image.is_some(), ..*boot };
        boot.run(what, &mut |event| report(Progress::Guest(event)))
    }
}
