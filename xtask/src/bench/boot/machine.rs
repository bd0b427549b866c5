//! The machine, in the two states in which the contestants want it.

use super::{
    Contestant, images,
    timeline::{Boot, Watch},
};
use anyhow::{Context, Result};
use harness::{
    State,
    vm::{Chain, Fleet, Vm},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Size of a disk, in bytes.
const SIZE: u64 = 64 << 20;

/// A machine, and what it boots.
pub struct Machines {
    fleet: Fleet,
    variables: PathBuf,
    images: [PathBuf; 4],
    /// With Trust's secrets.
    provisioned: State,
    /// Whose owner has no password: neither of the others can use a TPM with one.
    unowned: State,
}

impl Machines {
    /// Prepares everything: three boots.
    pub fn new() -> Self {
        let fleet = Fleet::new();
        let variables = fleet.variables(Chain::Direct, &[], "vars.fd");
        let disk = |contestant| disk(&fleet, contestant);
        for contestant in [Contestant::Dracut, Contestant::Systemd, Contestant::Clevis] {
            File::create(disk(contestant)).and_then(|file| file.set_len(SIZE)).expect("a writable directory");
        }

        eprintln!("making images");
        let images = Contestant::ALL.map(|contestant| images::of(contestant, &fleet));
        eprintln!("preparing a machine for Trust");
        let vm = Vm::new(&variables);
        vm.set_disks(&[&disk(Contestant::Dracut)]);
        for (kind, initrd) in [("limited", images::provision()), ("production", images::install())] {
            let image = fleet.file("image.efi");
            fleet.build(kind, &initrd, &[], &image);
            fleet.install(&vm, Chain::Direct, &image);
            vm.boot().ok();
        }
        let provisioned = vm.tpm();

        eprintln!("preparing one for systemd-cryptsetup and clevis");
        let vm = Vm::new(&variables);
        vm.set_disks(&[&disk(Contestant::Systemd), &disk(Contestant::Clevis)]);
        fleet.install(&vm, Chain::Direct, &images::enroll(&fleet));
        vm.boot().ok();
        let unowned = vm.tpm();

        Self { variables, images, provisioned, unowned, fleet }
    }

    /// Bytes of a contestant's image.
    pub fn image_size(&self, contestant: Contestant) -> u64 {
        images::size(self.image(contestant))
    }

    /// One boot of one contestant, on a machine as it was prepared.
    pub fn boot(&self, contestant: Contestant) -> Result<Boot> {
        let vm = Vm::new(&self.variables);
        let ours = matches!(contestant, Contestant::Minimal | Contestant::Dracut);
        vm.set_tpm(if ours { &self.provisioned } else { &self.unowned });
        if contestant != Contestant::Minimal {
            fs::copy(disk(&self.fleet, contestant), vm.data_disk())?;
        }
        self.fleet.install(&vm, Chain::Direct, self.image(contestant));
        let watch = Watch::start(vm.ear(), contestant);
        let (report, tpm) = vm.boot_interposed(|tpm| watch.listen(tpm));
        report.ok();
        let name = contestant.name();
        watch.end(&report, tpm.take()).with_context(|| format!("cannot measure {name}:\n{}", report.said))
    }

    fn image(&self, contestant: Contestant) -> &Path {
        let [minimal, dracut, systemd, clevis] = &self.images;
        match contestant {
            Contestant::Minimal => minimal,
            Contestant::Dracut => dracut,
            Contestant::Systemd => systemd,
            Contestant::Clevis => clevis,
        }
    }
}

/// The image of the disk that a contestant opens.
fn disk(fleet: &Fleet, contestant: Contestant) -> PathBuf {
    fleet.file(&format!("{contestant:?}.img"))
}
