//! The machine, in the two states in which the candidates want it.

use super::{
    Candidate, images,
    timeline::{Boot, Watch},
};
use anyhow::{Context, Result};
use harness::{
    State,
    vm::{Chain, Deployment, Vm},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Size of a disk, in bytes.
const SIZE: u64 = 64 << 20;

/// A machine, and what it boots.
pub struct Machines {
    deployment: Deployment,
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
        let deployment = Deployment::new();
        let variables = deployment.variables(Chain::Direct, &[], "vars.fd");
        let disk = |candidate| disk(&deployment, candidate);
        for candidate in [Candidate::Dracut, Candidate::Systemd, Candidate::Clevis] {
            File::create(disk(candidate)).and_then(|file| file.set_len(SIZE)).expect("a writable directory");
        }

        eprintln!("making images");
        let images = Candidate::ALL.map(|candidate| images::of(candidate, &deployment));
        eprintln!("preparing a machine for Trust");
        let vm = Vm::new(&variables);
        vm.set_disks(&[&disk(Candidate::Dracut)]);
        for (kind, initrd) in [("limited", images::provision()), ("production", images::install())] {
            let image = deployment.file("image.efi");
            deployment.build(kind, &initrd, &[], &image);
            deployment.install(&vm, Chain::Direct, &image);
            vm.boot().ok();
        }
        let provisioned = vm.tpm();

        eprintln!("preparing one for systemd-cryptsetup and clevis");
        let vm = Vm::new(&variables);
        vm.set_disks(&[&disk(Candidate::Systemd), &disk(Candidate::Clevis)]);
        deployment.install(&vm, Chain::Direct, &images::enroll(&deployment));
        vm.boot().ok();
        let unowned = vm.tpm();

        Self { variables, images, provisioned, unowned, deployment }
    }

    /// Bytes of a candidate's image.
    pub fn image_size(&self, candidate: Candidate) -> u64 {
        images::size(self.image(candidate))
    }

    /// One boot of one candidate, on a machine as it was prepared.
    pub fn boot(&self, candidate: Candidate) -> Result<Boot> {
        let vm = Vm::new(&self.variables);
        let ours = matches!(candidate, Candidate::Minimal | Candidate::Dracut);
        vm.set_tpm(if ours { &self.provisioned } else { &self.unowned });
        if candidate != Candidate::Minimal {
            fs::copy(disk(&self.deployment, candidate), vm.data_disk())?;
        }
        self.deployment.install(&vm, Chain::Direct, self.image(candidate));
        let watch = Watch::start(vm.output_watcher(), candidate);
        let (report, tpm) = vm.boot_interposed(|tpm| watch.listen(tpm));
        report.ok();
        let name = candidate.name();
        watch.end(&report, tpm.take()).with_context(|| format!("cannot measure {name}:\n{}", report.said))
    }

    fn image(&self, candidate: Candidate) -> &Path {
        let [dracut, minimal, systemd, clevis] = &self.images;
        match candidate {
            Candidate::Minimal => minimal,
            Candidate::Dracut => dracut,
            Candidate::Systemd => systemd,
            Candidate::Clevis => clevis,
        }
    }
}

/// The image of the disk that a candidate opens.
fn disk(deployment: &Deployment, candidate: Candidate) -> PathBuf {
    deployment.file(&format!("{candidate:?}.img"))
}
