//! Images whose policies have been withdrawn.

use super::{REFUSED, SETUP, fixture, gets_nothing, gets_the_secrets, with_tools};
use harness::vm::Chain;

#[test]
fn a_tpm_image_gets_only_the_admin_password_and_can_revoke_older_images() {
    let deployment = &fixture().deployment;
    let raise = deployment.file("raise.efi");
    let mut initrd = with_tools(&format!("{}{SETUP}", include_str!("raise.sh")));
    initrd.host_program().write("sealed", &fixture().sealed, 0o600);
    deployment.build("tpm", &initrd, &[], &raise);
    let vm = fixture().machine(Chain::Direct, &raise);
    let report = vm.boot();
    gets_nothing(&report, REFUSED);
    assert_eq!(report.value("0x1500001"), "yes");
    for index in ["0x1500021", "0x1500022", "0x1500030", "0x1500040"] {
        assert_eq!(report.value(index), "no", "{index}");
    }
    assert_eq!(report.value("raise"), "yes", "{}", report.console);
    deployment.install(&vm, Chain::Direct, &fixture().image("production"));
    let report = vm.boot();
    gets_nothing(&report, REFUSED);
    assert!(report.console.contains("its policies have been withdrawn"), "{}", report.console);
    // The same program and the same key, with policies that are signed for the new version.
    deployment.install(&vm, Chain::Direct, &fixture().image("newer"));
    gets_the_secrets(&vm.boot());
}
