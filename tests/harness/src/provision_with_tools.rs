//! A TPM in layout 3 as machines in the field have it: made with tpm2-tools alone.

use crate::{
    identity::Identity,
    keyset::{Boot, Keyset, luks_policy, pcr_policy, text},
    swtpm::Swtpm,
    tools::Tools,
};
use std::{fs, path::Path};

/// What was put into the TPM.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Password of owner, endorsement and lockout hierarchy.
    pub admin_password: String,
    /// The passphrase of the operating system's volume.
    pub os_passphrase: String,
    /// The passphrase of the SBS partition.
    pub sbs_passphrase: String,
    /// Whether a storage root key is persistent at 0x81000001.
    pub srk: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            admin_password: "0123456789abcdefFEDCBA9876543210".into(),
            os_passphrase: "trust-0123456789abcdef0123456789abcdef01".into(),
            sbs_passphrase: "sbs-passphrase-of-forty-characters-00001".into(),
            srk: false,
        }
    }
}

/// Provisions a TPM in layout 3 with nothing but tpm2-tools, as the old tool
/// does: attributes without `noda`, policies of the keyset's keys.
pub fn provision_with_tools(tpm: &Swtpm, keyset: &Keyset, identity: &Identity, layout: &Layout) {
    provision_for(tpm, (&keyset.pubkeys(), keyset.name()), identity, layout);
}

/// The same for the keyset of this name, whose public keys are in this directory.
pub fn provision_for(tpm: &Swtpm, (pubkeys, name): (&Path, &str), identity: &Identity, layout: &Layout) {
    let tools = tpm.tools();
    for (key, public) in [("luks", "luks"), ("admin", "tpmpass")] {
        let public = pubkeys.join(format!("{public}-{name}.pem"));
        let (name, policy) = (format!("{key}.name"), format!("{key}.policy"));
        tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", text(&public), "-c", "key.ctx", "-n", &name]);
        tools.ok("startauthsession", &["-S", "trial.ctx"]);
        tools.ok("policyauthorize", &["-S", "trial.ctx", "-L", &policy, "-n", &name]);
        tools.ok("flushcontext", &["trial.ctx"]);
        tools.ok("flushcontext", &["-t"]);
    }
    let owner = "ownerwrite|ownerread";
    let (secret, os) = (format!("{owner}|policyread"), format!("{owner}|policyread|policywrite"));
    let open = format!("{owner}|authread");
    let file = |path| fs::read(path).expect("an identity has both files");
    let indices: [(&str, &str, Option<&str>, Vec<u8>); 7] = [
        ("0x1500001", &secret, Some("admin.policy"), layout.admin_password.clone().into_bytes()),
        ("0x1500020", &open, None, b"0001".to_vec()),
        ("0x1500021", &secret, Some("luks.policy"), file(identity.cert())),
        ("0x1500022", &secret, Some("luks.policy"), file(identity.key())),
        ("0x1500030", &secret, Some("luks.policy"), layout.sbs_passphrase.clone().into_bytes()),
        ("0x1500040", &os, Some("luks.policy"), layout.os_passphrase.clone().into_bytes()),
        ("0x1500002", &open, None, b"00000003".to_vec()),
    ];
    for (index, attributes, policy, contents) in indices {
        fs::write(tools.dir().join("contents"), &contents).expect("a writable directory");
        let size = contents.len().to_string();
        let mut define = vec![index, "-C", "o", "-s", &size, "-a", attributes];
        define.extend(policy.iter().flat_map(|policy| ["-L", policy]));
        tools.ok("nvdefine", &define);
        tools.ok("nvwrite", &[index, "-C", "o", "-i", "contents"]);
    }
    fs::remove_file(tools.dir().join("contents")).expect("a writable directory");
    if layout.srk {
        persist_srk(tpm);
    }
    for hierarchy in ["lockout", "endorsement", "owner"] {
        tools.ok("changeauth", &["-c", hierarchy, &layout.admin_password]);
    }
}

/// Makes the TCG's ECC P-256 storage root key persistent at 0x81000001.
fn persist_srk(tpm: &Swtpm) {
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    let algorithm = "ecc256:aes128cfb";
    let tools = tpm.tools();
    tools.ok("createprimary", &["-C", "o", "-g", "sha256", "-G", algorithm, "-a", attributes, "-c", "srk.ctx"]);
    tools.ok("evictcontrol", &["-C", "o", "-c", "srk.ctx", "0x81000001"]);
    tools.ok("flushcontext", &["-t"]);
}

/// Reads an index as tpm2-tools can, in the boot that the TPM is in: `luks` or `admin`
/// is the key that must have signed for this boot.
pub fn read_with_tools(tpm: &Swtpm, keyset: &Keyset, boot: Boot, key: &str, index: &str) -> Vec<u8> {
    /// What the NV buffer of a software TPM holds; a policy session serves for one read.
    const CHUNK: usize = 1024;
    let tools = tpm.tools();
    let public = tools.ok("nvreadpublic", &[index]);
    let size = public.lines().find_map(|line| line.trim().strip_prefix("size:")).expect("an index has a size");
    let size: usize = size.trim().parse().expect("a size is a number");
    let mut contents = Vec::new();
    while contents.len() < size {
        satisfy_policy(tools, keyset, boot, key);
        let chunk = (size - contents.len()).min(CHUNK).to_string();
        let place = [index, "-C", index, "-s", &chunk, "--offset", &contents.len().to_string(), "-o", "contents"];
        tools.ok("nvread", &[&place[..], &["-P", "session:s.ctx"]].concat());
        tools.ok("flushcontext", &["s.ctx"]);
        contents.extend(fs::read(tools.dir().join("contents")).expect("tpm2_nvread wrote it"));
    }
    contents
}

/// Leaves in `s.ctx` a session that has satisfied the policy that `key` signed for a boot.
pub fn satisfy_policy(tools: &Tools, keyset: &Keyset, boot: Boot, key: &str) {
    approach_policy(tools, keyset, boot, key);
    tools.ok("policyauthorize", &AUTHORIZE);
}

/// What [`approach_policy`] has left to be asked for: whether what is in the session is what was signed.
pub const AUTHORIZE: [&str; 8] = ["-S", "s.ctx", "-i", "policy", "-n", "key.name", "-t", "ticket"];

/// Leaves in `s.ctx` a session in which all has been asserted that such a policy consists of, whatever came of it.
pub fn approach_policy(tools: &Tools, keyset: &Keyset, boot: Boot, key: &str) {
    let (public, signed, policy) = match key {
        "luks" => ("luks", "tpm_luks.policy.signed", luks_policy(&boot.pcr7(), "0001")),
        _ => ("tpmpass", "tpm_passwd.policy.signed", pcr_policy(&boot.pcr7())),
    };
    let public = keyset.pubkeys().join(format!("{public}-{}.pem", keyset.name()));
    let signature = keyset.entry(&boot.pcr7()).join(signed);
    fs::write(tools.dir().join("policy"), policy).expect("a writable directory");
    fs::write(tools.dir().join("version"), "0001").expect("a writable directory");
    tools.ok("startauthsession", &["-S", "s.ctx", "--policy-session"]);
    tools.ok("policypcr", &["-S", "s.ctx", "-l", "sha256:7"]);
    if key == "luks" {
        tools.ok("policynv", &["-S", "s.ctx", "-C", "0x1500020", "-i", "version", "0x1500020", "eq"]);
    }
    tools.ok("loadexternal", &["-C", "o", "-G", "rsa", "-u", text(&public), "-c", "key.ctx", "-n", "key.name"]);
    let digest = ["-c", "key.ctx", "-g", "sha256", "-m", "policy"];
    tools.ok("verifysignature", &[&digest[..], &["-s", text(&signature), "-f", "rsassa", "-t", "ticket"]].concat());
    tools.ok("flushcontext", &["-t"]);
}
