//! The life of a machine: made, provisioned, installed, and from then on booted.
//!
//! Provisioning and installing images say that they are done by switching the machine off. Starting over is how they
//! say that they have failed, and so is silence. Nobody's word is taken for it: then the TPM must hold the machine's
//! identity, and the disk a LUKS2 volume.

use super::{
    accelerator::Accelerator,
    boot::{Boot, Sign},
    console,
    directory::Directory,
    disks,
    facts::{Facts, Hardware, Images, Reached},
    firmware::Firmware,
    process, qemu, tpm,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        atomic,
        enroll::variables,
        interrupt,
        keyset::{Keyset, Place},
        pcr7::databases::{Chain, Databases, Foreign},
        project, srk,
    },
    tpm::Tpm,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// How long provisioning and installing may take, each, where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(600);

/// A machine that is to be made.
pub struct New {
    /// Whose it is.
    pub keyset: Keyset,
    /// What product of theirs.
    pub project: String,
    /// Its serial number; a random one if there is none.
    pub serial: Option<String>,
    /// What its firmware knows beside the keyset's keys.
    pub foreign: Foreign,
    /// What it is made of.
    pub firmware: Firmware,
    /// The size of its disk.
    pub disk: u64,
}

/// What is wanted of a machine, new or not.
pub struct Wish {
    /// Its name.
    pub name: String,
    /// The images that are given; of those that are not, the ones that it was given before.
    pub images: Images,
    /// Whether its disk is installed anew.
    pub reinstall: bool,
    /// Whether its disk is never installed.
    pub skip_install: bool,
    /// Its memory in MiB, and how many processors it has: as given, or as before.
    pub memory: Option<u32>,
    /// See above.
    pub processors: Option<u32>,
    /// What runs it, if not the fastest that there is.
    pub accelerator: Option<Accelerator>,
    /// Whether its console is the terminal.
    pub terminal: bool,
    /// What it is switched off after saying.
    pub until: Option<String>,
    /// How long each of its boots may take.
    pub patience: Option<Duration>,
    /// Further options of QEMU.
    pub more: Vec<OsString>,
}

/// A part of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its firmware gets the keys, its TPM and its disk are made.
    Make,
    /// Its identity is made in the project, or found there.
    Identity,
    /// The identity is stored in the TPM.
    Provision,
    /// The disk is installed.
    Install,
    /// It runs.
    Run,
}

/// What is told while it happens.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A step begins, with this.
    Begun(Step, &'a str),
    /// The step is over, and well.
    Done(Step),
    /// What is said of the machine in it.
    Sign(Sign),
}

/// Who listens.
pub type Tell<'a> = &'a mut dyn FnMut(Told<'_>) -> Result<()>;

/// Makes a machine, and boots it.
///
/// # Errors
/// [`Kind::Usage`]: it exists, or something that it needs does not; nothing has been made then. Else as [`again`].
pub fn first(new: &New, wish: &Wish, tell: Tell<'_>) -> Result<()> {
    process::ensure_installed()?;
    check_images(&wish.images, Reached::Made, wish)?;
    let (directory, facts) = Directory::create(&wish.name, |dir| make(dir, new, wish, tell))?;
    live(&directory, facts, wish, tell)
}

/// Boots a machine that was made, from where it is in its life.
///
/// # Errors
/// [`Kind::Usage`]: there is none, or an image is missing; [`Kind::Refused`]: the firmware does not start an image;
/// [`Kind::System`]: an image did not do what it is for. What had been reached before is kept.
pub fn again(wish: &Wish, tell: Tell<'_>) -> Result<()> {
    process::ensure_installed()?;
    let (directory, mut facts) = Directory::open(&wish.name)?;
    let Images { provision, install, production, shim } = wish.images.clone();
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
    facts.hardware =
        Hardware { firmware, memory: wish.memory.unwrap_or(memory), processors: wish.processors.unwrap_or(processors) };
    if wish.reinstall {
        facts.reached = facts.reached.min(Reached::Provisioned);
    }
    check_images(&facts.images, facts.reached, wish)?;
    facts.write(directory.path())?;
    live(&directory, facts, wish, tell)
}

/// Sees to it that the images of the steps that are left are there.
fn check_images(images: &Images, reached: Reached, wish: &Wish) -> Result<()> {
    let missing = |what: &str, option: &str| {
        Error::new(Kind::Usage, format!("launch {:?}", wish.name), format!("no image that {what} is given"))
            .remedy(format!("name one with {option}, or a directory of images with --images"))
    };
    let mut needed = vec![images.production.as_ref(), images.shim.as_ref()];
    if reached < Reached::Provisioned {
        let provision = images.provision.as_ref();
        needed.push(Some(provision.ok_or_else(|| missing("provisions the machine", "--provision-image"))?));
    }
    if reached < Reached::Installed && !wish.skip_install {
        let install = images.install.as_ref();
        let remedy = "--install-image, or give --skip-install";
        needed.push(Some(install.ok_or_else(|| missing("installs the disk", remedy))?));
    }
    for path in needed.into_iter().flatten() {
        let metadata = path.metadata().map_err(|e| atomic::cannot("use the image", path, &e))?;
        if !metadata.is_file() {
            return Err(Error::new(Kind::Usage, format!("use the image {}", path.display()), "it is no file"));
        }
    }
    Ok(())
}

/// No variable store is larger.
const MAX_VARIABLES: u64 = 64 << 20;

/// Makes what a machine is before its first boot.
fn make(dir: &Path, new: &New, wish: &Wish, tell: Tell<'_>) -> Result<Facts> {
    let New { keyset, project, firmware, .. } = new;
    tell(Told::Begun(Step::Make, &wish.name))?;
    let credentials = project::open(keyset, project)?;
    let chain = if wish.images.shim.is_some() { Chain::Shim } else { Chain::Direct };
    let databases = Databases::of(keyset, chain, &new.foreign)?;
    let image = atomic::read_up_to(&firmware.variables, MAX_VARIABLES)?;
    let enrolled = variables::enroll(&image, &databases, variables::signed_at(keyset)?)
        .map_err(|e| e.within(format!("use {}", firmware.variables.display())))?;
    atomic::create(&dir.join(qemu::VARIABLES), atomic::PRIVATE, &enrolled)?;
    tpm::make(dir)?;
    disks::empty(&dir.join(disks::DISK), new.disk)?;
    tell(Told::Done(Step::Make))?;

    let serial = new.serial.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    tell(Told::Begun(Step::Identity, &serial))?;
    if !credentials.join(project::MACHINES).join(&serial).is_dir() {
        project::add_machine(keyset, project, &serial, None)?;
    }
    tell(Told::Done(Step::Identity))?;
    // A keyset that was named by its directory is found wherever the next command is given.
    let by_name = Keyset::open(keyset.name()).is_ok_and(|found| found.path() == keyset.path());
    let keyset = if by_name { keyset.name().to_owned() } else { keyset.path().display().to_string() };
    Ok(Facts {
        keyset,
        project: project.clone(),
        serial,
        images: wish.images.clone(),
        hardware: Hardware {
            firmware: firmware.code.clone(),
            memory: wish.memory.unwrap_or(MEMORY),
            processors: wish.processors.unwrap_or(PROCESSORS),
        },
        reached: Reached::Made,
    })
}

/// What a machine has where nobody says otherwise.
pub const MEMORY: u32 = 2048;
/// See above.
pub const PROCESSORS: u32 = 1;

/// What is left of the story.
fn live(directory: &Directory, facts: Facts, wish: &Wish, tell: Tell<'_>) -> Result<()> {
    // From here on Ctrl-C ends what is being done, and not us.
    interrupt::defer();
    let dir = directory.path();
    console::clear(dir)?;
    let accelerator = match wish.accelerator {
        Some(given) => given,
        None => Accelerator::find(dir, &facts.hardware.firmware)?,
    };
    let mut life = Life { dir, facts, wish, accelerator };
    let name = &wish.name;
    let reached = life.facts.reached;
    if reached < Reached::Provisioned {
        life.provision(tell).map_err(|e| life.remedied(e, &format!("`trust launch {name} --again` goes on")))?;
        life.reach(Reached::Provisioned)?;
    }
    if reached < Reached::Installed {
        if !wish.skip_install {
            life.install(tell).map_err(|e| life.remedied(e, &format!("`trust launch {name} --again` goes on")))?;
        }
        life.reach(Reached::Installed)?;
    }
    life.stay(tell).map_err(|e| life.remedied(e, "read on there"))
}

struct Life<'a> {
    dir: &'a Path,
    facts: Facts,
    wish: &'a Wish,
    accelerator: Accelerator,
}

impl Life<'_> {
    fn reach(&mut self, reached: Reached) -> Result<()> {
        self.facts.reached = reached;
        self.facts.write(self.dir)
    }

    /// Adds to an error that has none of its own where more is to be found.
    fn remedied(&self, error: Error, what: &str) -> Error {
        match error.kind() {
            Kind::System => error.remedy(format!("see {}; {what}", self.dir.join(console::FILE).display())),
            _ => error,
        }
    }

    /// Its identity, in the project.
    fn credentials(&self) -> Result<PathBuf> {
        let Facts { keyset, project, serial, .. } = &self.facts;
        Ok(Place::Machine(project.clone(), serial.clone()).path(&Keyset::open(keyset)?))
    }

    fn provision(&self, tell: Tell<'_>) -> Result<()> {
        let what = format!("provision the machine {:?}", self.wish.name);
        let credentials = self.credentials()?;
        let certificate = atomic::read(&credentials.join("cert.pem"))?;
        let disk = disks::Identity::make(self.dir.join(disks::IDENTITY), &credentials)?;
        self.one_thing(Step::Provision, &what, self.facts.images.provision.as_deref(), true, tell)?;
        drop(disk);
        if !tpm::ask(self.dir, |tpm| tpm.is_provisioned_with(&certificate))? {
            let why = "the guest went off, but its TPM does not hold the machine's certificate";
            return Err(Error::new(Kind::System, what, why));
        }
        self.vouch()?;
        tell(Told::Done(Step::Provision))
    }

    /// Has the keyset vouch for the TPM, if its boots ask for that.
    fn vouch(&self) -> Result<()> {
        let keyset = Keyset::open(&self.facts.keyset)?;
        if !srk::is_pinned(&keyset) {
            return Ok(());
        }
        let why = "it has no storage root key that an authority could vouch for";
        let key = tpm::ask(self.dir, Tpm::into_storage_root_key)?
            .ok_or_else(|| Error::new(Kind::Unprovisioned, "vouch for the machine's TPM", why))?;
        srk::sign(&keyset, &key.name(), &self.dir.join(disks::VOUCHER))
    }

    fn install(&self, tell: Tell<'_>) -> Result<()> {
        let what = format!("install the machine {:?}", self.wish.name);
        self.one_thing(Step::Install, &what, self.facts.images.install.as_deref(), false, tell)?;
        if !disks::holds_luks2(&self.dir.join(disks::DISK))? {
            return Err(Error::new(Kind::System, what, "the guest went off, but there is no LUKS2 volume on its disk"));
        }
        tell(Told::Done(Step::Install))
    }

    /// Boots an image that does one thing and goes off.
    fn one_thing(&self, step: Step, what: &str, image: Option<&Path>, identity: bool, tell: Tell<'_>) -> Result<()> {
        let patience = Some(self.wish.patience.unwrap_or(PATIENCE));
        self.boot(step, what, image, &Boot { identity, patience, ..self.any_boot() }, tell)
    }

    /// Boots what it is for.
    fn stay(&self, tell: Tell<'_>) -> Result<()> {
        let what = format!("run the machine {:?}", self.wish.name);
        let until = self.wish.until.as_deref();
        let boot = Boot { stays: true, patience: self.wish.patience, until, ..self.any_boot() };
        self.boot(Step::Run, &what, self.facts.images.production.as_deref(), &boot, tell)?;
        tell(Told::Done(Step::Run))
    }

    fn any_boot(&self) -> Boot<'_> {
        Boot {
            dir: self.dir,
            hardware: &self.facts.hardware,
            accelerator: self.accelerator,
            medium: true,
            identity: false,
            stays: false,
            terminal: self.wish.terminal,
            patience: None,
            until: None,
            more: &self.wish.more,
        }
    }

    fn boot(&self, step: Step, what: &str, image: Option<&Path>, boot: &Boot<'_>, tell: Tell<'_>) -> Result<()> {
        let medium = self.dir.join(disks::BOOT);
        match image {
            Some(image) => disks::bootable(&medium, image, self.facts.images.shim.as_deref())?,
            None => drop(std::fs::remove_file(&medium)),
        }
        let name = image.map_or_else(|| "its own disk".into(), |image| image.display().to_string());
        tell(Told::Begun(step, &name))?;
        let boot = Boot { medium: image.is_some(), ..*boot };
        boot.run(what, &mut |sign| tell(Told::Sign(sign)))
    }
}
