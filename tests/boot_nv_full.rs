//! A TPM whose NV memory others have filled.

use harness::{Boot, Machine, Tools};

const PROVISION: &str = "try status trust provision \"$CERT\" \"$KEY\"\npublished";

/// Defines foreign indices until there is no room for one of `size` bytes, and returns them.
fn fill(tools: &Tools, first: u32, size: &str) -> Vec<String> {
    let mut indices = Vec::new();
    loop {
        let index = format!("{:#x}", first + u32::try_from(indices.len()).expect("few"));
        let output = tools.output("nvdefine", &[&index, "-C", "o", "-s", size, "-a", "ownerwrite|ownerread"]);
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(complaint.contains("NV"), "another reason: {complaint}");
            return indices;
        }
        indices.push(index);
    }
}

fn free(tools: &Tools, indices: &[String]) {
    for index in indices {
        tools.ok("nvundefine", &[index, "-C", "o"]);
    }
}

/// Says that NV memory is full, wherever it is found out, and goes on from there when there is room.
#[test]
fn provisioning_a_full_tpm_is_refused_and_then_completed() {
    let machine = Machine::new();
    let tools = machine.tpm.tools();
    let large = fill(tools, 0x0180_0000, "2048");
    let small = fill(tools, 0x0181_0000, "32");
    assert!(large.len() >= 6, "there was no room from the start");
    let refused = || {
        let run = machine.boot(Boot::Limited, PROVISION);
        run.refused(11);
        assert!(run.stderr.contains("the TPM's NV memory is full"), "{run:#?}");
        machine.boot(Boot::Production, "try status trust setup\npublished").refused(11);
    };
    refused();

    // Room for some of it, not for a certificate of more than a kilobyte.
    free(tools, &small);
    refused();

    free(tools, &large[..6]);
    let run = machine.boot(Boot::Limited, PROVISION);
    assert_eq!(run.status(), 0, "{run:#?}");
    machine.boot(Boot::Production, "trust setup\ncmp /priv/factory/secure/server.crt $CERT").ok();
}
