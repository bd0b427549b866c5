//! An update of dbx: refused before it is applied where it would leave the machine dark, explained where it was applied all
//! the same, and without consequences where policies were signed for it.

use super::{DONE, REFUSED, explained, fixture, gets_nothing, gets_the_secrets, images::production, setup};
use harness::{
    sha256,
    vm::{Chain, Vm},
};
use std::fs;
use trust::host::uefi::signature_list::{self, SignatureList};
use uuid::uuid;

/// What a machine of the tests has in dbx: the hash of nothing.
fn before() -> Vec<u8> {
    list(&[sha256(&[])])
}

/// What an update appends to that.
pub fn update() -> Vec<u8> {
    list(&[sha256(&[b"a boot loader with a hole"]), sha256(&[b"another one"])])
}

fn list(hashes: &[[u8; 32]]) -> Vec<u8> {
    let owner = uuid!("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");
    signature_list::to_bytes(&[SignatureList::sha256(owner, hashes)]).unwrap()
}

#[test]
fn an_update_of_dbx_is_planned_or_explained() {
    let (deployment, image) = (&fixture().deployment, fixture().image("production"));
    let (before_update, _) = production(Chain::Direct);
    assert_eq!(before_update.value("update"), REFUSED, "the update would leave the machine dark");

    // It is applied all the same.
    let file = |name: &str, bytes: &[u8]| {
        fs::write(deployment.file(name), bytes).unwrap();
        deployment.file(name).to_str().unwrap().to_owned()
    };
    let (old, new) = (file("before.esl", &before()), file("update.esl", &update()));
    let variables = deployment.variables(Chain::Direct, &["--dbx", &old, "--dbx", &new], "updated.fd");
    let boot = |image| {
        let vm: Vm = fixture().machine(Chain::Direct, image);
        vm.set_variables(&variables);
        vm.boot()
    };
    let unplanned = boot(&image);
    gets_nothing(&unplanned, REFUSED);
    explained(&unplanned, "the firmware's dbx is not the one that the policies were signed for");

    // It is planned: signed from the log of the boot before, and a new image.
    let log = file("before.log", &before_update.bytes("log"));
    deployment.trust(&["predict", "k", "--log", &log, "--dbx-append", &new, "--sign"]);
    let planned = deployment.file("planned.efi");
    deployment.build("production", &setup(&fixture().sealed), &[], &planned);
    deployment.trust(&["predict", "--log", &log, "--dbx-append", &new, "--uki", planned.to_str().unwrap(), "--check"]);
    let report = boot(&planned);
    gets_the_secrets(&report);
    assert_eq!(report.value("update"), DONE);
}
