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
    /// What it is made of, if not of this system's.
    pub firmware: Option<Firmware>,
    /// The size of its disk.
    pub disk: u64,
}

/// What is wanted of a machine, new or not.
pub struct Wish {
    /// Its name.
    pub name: String,
    /// The images that are given; of those that are not, the ones that it was given before.
    pub images: Images,
    /// The directory that they were to be in.
    pub directory: Option<PathBuf>,
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
    /// What was made when it was launched before, and came to nothing, is gone on with.
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

/// What is told while it happens.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A step begins, with this.
    Begun(Step, &'a str),
    /// The step is over, and well.
    Done(Step),
    /// What is said of the machine in it.
    Sign(Sign<'a>),
    /// The machine is emulated, for this reason.
    Emulated(&'a str),
}

/// Who listens.
pub type Tell<'a> = &'a mut dyn FnMut(Told<'_>) -> Result<()>;

/// Makes a machine, and boots it. One that was made by the same command and has come to nothing is gone on with: what it
/// has not reached is made anew, as the command has it now.
///
/// # Errors
/// [`Kind::Usage`]: it exists, or something that it needs does not; nothing has been made then. Else as [`again`].
pub fn first(new: &New, wish: &Wish, tell: Tell<'_>) -> Result<()> {
    let firmware = process::ensure_installed(new.firmware.clone().or_else(Firmware::installed))?;
    let (directory, facts) = if Directory::exists(&wish.name)? {
        let (directory, old) = Directory::open(&wish.name)?;
        if let Some(why) = another(&old, new) {
            return Err(directory.taken(&wish.name, &why));
        }
        check_images(&wish.images, old.reached, wish)?;
        tell(Told::Begun(Step::Resume, &wish.name))?;
        let facts = make(directory.path(), new, &firmware, wish, Some(&old))?;
        facts.write(directory.path())?;
        tell(Told::Done(Step::Resume))?;
        (directory, facts)
    } else {
        check_images(&wish.images, Reached::Made, wish)?;
        tell(Told::Begun(Step::Make, &wish.name))?;
        let made = Directory::create(&wish.name, |dir| make(dir, new, &firmware, wish, None))?;
        tell(Told::Done(Step::Make))?;
        made
    };
    live(&directory, facts, wish, tell)
}

/// Why a machine is not the one that is to be made.
fn another(old: &Facts, new: &New) -> Option<String> {
    let Facts { keyset, project, serial, .. } = old;
    if old.reached == Reached::Ran {
        return Some("and it has run".into());
    }
    if (keyset, project) != (&named(&new.keyset), &new.project) {
        return Some(format!("of project {keyset}:{project}"));
    }
    (new.serial.as_ref().is_some_and(|given| given != serial)).then(|| format!("with the serial number {serial}"))
}

/// How a keyset is found again: one that was named by its directory, wherever the next command is given.
fn named(keyset: &Keyset) -> String {
    let by_name = Keyset::open(keyset.name()).is_ok_and(|found| found.path() == keyset.path());
    if by_name { keyset.name().to_owned() } else { keyset.path().display().to_string() }
}

/// Boots a machine that was made, from where it is in its life.
///
/// # Errors
/// [`Kind::Usage`]: there is none, or an image is missing; [`Kind::Refused`]: the firmware does not start an image;
/// [`Kind::Guest`]: an image did not do what it is for. What had been reached before is kept.
pub fn again(wish: &Wish, tell: Tell<'_>) -> Result<()> {
    let (directory, mut facts) = Directory::open(&wish.name)?;
    let firmware = process::ensure_installed(Some(&facts.hardware.firmware))?;
    firmware.metadata().map_err(|e| atomic::cannot("use the machine's firmware", firmware, &e))?;
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
    let provision =
        (reached < Reached::Provisioned).then_some(("provision.efi", "--provision-image", &images.provision));
    let installs = reached < Reached::Installed && !wish.skip_install;
    let install = installs.then_some(("install.efi", "--install-image", &images.install));
    // Without one it boots from its disk; but who names a directory means what is in it.
    let production = wish.directory.as_ref().map(|_| ("production.efi", "--image", &images.production));
    let needed = [provision, install, production].into_iter().flatten();
    let missing: Vec<_> = needed.filter(|(.., image)| image.is_none()).collect();
    if !missing.is_empty() {
        let [names, options] = [0, 1].map(|which| {
            let words: Vec<_> =
                missing.iter().map(|(name, option, _)| if which == 0 { *name } else { *option }).collect();
            words.join(if which == 0 { " and no " } else { ", " })
        });
        let why = match &wish.directory {
            Some(directory) => format!("{} has no {names}", directory.display()),
            None => format!("there is no {names}"),
        };
        let skip =
            if missing.iter().any(|(name, ..)| *name == "install.efi") { ", or give --skip-install" } else { "" };
        return Err(Error::new(Kind::Usage, format!("launch {:?}", wish.name), why)
            .remedy(format!("name a directory of images with --images, or files with {options}{skip}")));
    }
    for path in [&images.provision, &images.install, &images.production, &images.shim].into_iter().flatten() {
        let metadata = path.metadata().map_err(|e| atomic::cannot("use the image", path, &e))?;
        if !metadata.is_file() {
            return Err(Error::new(Kind::Usage, format!("use the image {}", path.display()), "it is no file"));
        }
    }
    Ok(())
}

/// No variable store is larger.
const MAX_VARIABLES: u64 = 64 << 20;

/// Makes what a machine is before its first boot; or what is left of it to be made, where it has come further.
fn make(dir: &Path, new: &New, firmware: &Firmware, wish: &Wish, old: Option<&Facts>) -> Result<Facts> {
    let New { keyset, project, .. } = new;
    project::open(keyset, project)?;
    let chain = if wish.images.shim.is_some() { Chain::Shim } else { Chain::Direct };
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
    Ok(Facts {
        keyset: named(keyset),
        project: project.clone(),
        serial: serial.unwrap_or_else(|| Uuid::new_v4().to_string()),
        images: wish.images.clone(),
        hardware: Hardware {
            firmware: firmware.code.clone(),
            memory: wish.memory.unwrap_or(MEMORY),
            processors: wish.processors.unwrap_or(PROCESSORS),
        },
        reached,
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
    if facts.reached < Reached::Provisioned {
        identify(&facts, tell)?;
    }
    let accelerator = match wish.accelerator {
        Some(given) => given,
        None => {
            let (found, why) = Accelerator::find(dir, &facts.hardware.firmware)?;
            why.map_or(Ok(()), |why| tell(Told::Emulated(&why)))?;
            found
        }
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
    life.stay(tell).map_err(|e| life.remedied(e, "read on there"))?;
    life.reach(Reached::Ran)
}

/// Makes a machine's identity in the project, unless it is there already.
fn identify(facts: &Facts, tell: Tell<'_>) -> Result<()> {
    let Facts { keyset, project, serial, .. } = facts;
    let keyset = Keyset::open(keyset)?;
    tell(Told::Begun(Step::Identity, serial))?;
    if !project::open(&keyset, project)?.join(project::MACHINES).join(serial).is_dir() {
        project::add_machine(&keyset, project, serial, None)?;
    }
    tell(Told::Done(Step::Identity))
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
            Kind::Guest | Kind::System => {
                error.remedy(format!("see {}; {what}", self.dir.join(console::FILE).display()))
            }
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
            return Err(Error::new(Kind::Guest, what, why));
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
            return Err(Error::new(Kind::Guest, what, "the guest went off, but there is no LUKS2 volume on its disk"));
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
