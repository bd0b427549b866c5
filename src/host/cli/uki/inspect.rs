//! `trust uki inspect`.

use super::{open, parse};
use crate::{
    digest::hex,
    error::Result,
    host::{
        image::{authenticode, pe::Image},
        say::output,
        uki::{additions, inspect},
    },
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

pub const HELP: &str = "\
It shows who has signed the image; whether the signatures are good, `trust verify efi` says.

Example:
  trust uki inspect acme.efi --files";

/// `trust uki inspect`
#[derive(Args)]
pub struct Inspect {
    /// The image
    file: PathBuf,
    /// List all files of the initrd
    #[arg(long)]
    files: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        let input = open(&self.file)?;
        let image = parse(&self.file, &input)?;
        let contents = inspect::inspect(&image)?;
        let signers = signers(&image)?;
        if self.json {
            return output::json(&self.to_json(&contents, &signers));
        }
        self.show(&contents, &signers)
    }

    fn to_json(&self, contents: &inspect::Inspection, signers: &[SignerLine]) -> Value {
        let sections = contents.sections.iter().map(
            |inspect::SectionDigest { name, size, digest }| json!({ "name": name, "size": size, "sha256": hex(digest) }),
        );
        json!({
            "stub": contents.stub,
            "profiles": contents.profiles,
            "sections": sections.collect::<Vec<_>>(),
            "signers": signers.iter().map(|signer| json!({ "subject": signer.subject, "of_this_image": signer.matches })).collect::<Vec<_>>(),
            "cmdline": contents.cmdline,
            "os_release": contents.os_release,
            "uname": contents.uname,
            "initrd": contents.initrd.as_ref().map(|initrd| match initrd {
                Ok(initrd) => self.initrd_to_json(initrd),
                Err(why) => json!({ "error": why }),
            }),
        })
    }

    fn initrd_to_json(&self, initrd: &inspect::Initrd) -> Value {
        let parts = initrd.parts.iter().map(|part| {
            let compression = part.compression.map(|compression| compression.name());
            json!({ "offset": part.start, "compression": compression, "looked_into": part.seen })
        });
        let policies = initrd.policies.iter().map(|policy| {
            json!({ "pcr7": hex(&policy.pcr7), "kind": policy.info.kind.as_str(), "keyset": policy.info.keyset })
        });
        let files = initrd.files.iter().map(|(path, file)| {
            let (uid, gid) = file.owner;
            let mode = format!("{:o}", file.mode);
            json!({ "path": path, "mode": mode, "uid": uid, "gid": gid, "size": file.size })
        });
        json!({
            "archives": parts.collect::<Vec<_>>(),
            "count": initrd.files.len(),
            "files": self.files.then(|| files.collect::<Vec<_>>()),
            "pcr7data": policies.collect::<Vec<_>>(),
            "manifest_ca": initrd.manifest_ca,
            "trust": initrd.program,
        })
    }

    fn show(&self, contents: &inspect::Inspection, signers: &[SignerLine]) -> Result<()> {
        for inspect::SectionDigest { name, size, digest } in &contents.sections {
            output::line(format_args!("{:<9}{size:>12}  {}", name.escape_debug().to_string(), hex(digest)))?;
        }
        let known =
            |text: &Option<String>| text.as_ref().map_or("none".to_owned(), |text| text.escape_debug().to_string());
        output::line(format_args!(
            "stub: {}",
            contents
                .stub
                .as_deref()
                .map_or("unknown".into(), |version| format!("systemd-stub {}", version.escape_debug()))
        ))?;
        for signer in signers {
            let subject = signer.subject.as_deref().unwrap_or("of a signature that cannot be read");
            let doubt = if signer.matches { "" } else { ", of another image" };
            output::line(format_args!("signer: {subject}{doubt}"))?;
        }
        if signers.is_empty() {
            output::line("signer: none")?;
        }
        output::line(format_args!("command line: {}", known(&contents.cmdline)))?;
        output::line(format_args!("uname: {}", known(&contents.uname)))?;
        match &contents.os_release {
            None => output::line("os-release: none")?,
            Some(text) => output::lines(text.lines().map(|line| format!("os-release: {}", line.escape_debug())))?,
        }
        if contents.profiles > 1 {
            output::line(format_args!("profiles: {}", contents.profiles))?;
        }
        match &contents.initrd {
            None => output::line("initrd: none"),
            Some(Err(why)) => output::line(format_args!("initrd: {why}")),
            Some(Ok(initrd)) => self.show_initrd(initrd),
        }
    }

    fn show_initrd(&self, initrd: &inspect::Initrd) -> Result<()> {
        for part in &initrd.parts {
            let compression = part.compression.map_or("not compressed", |compression| compression.name());
            let seen = if part.seen { "" } else { ", not looked into" };
            output::line(format_args!("initrd: archive at byte {}, {compression}{seen}", part.start))?;
        }
        output::line(format_args!("initrd: {} files", initrd.files.len()))?;
        if self.files {
            for (path, file) in &initrd.files {
                let (uid, gid) = file.owner;
                output::line(format_args!(
                    "  {:>6o} {uid}:{gid} {:>10} /{}",
                    file.mode,
                    file.size,
                    path.escape_debug()
                ))?;
            }
        }
        let there = |there: bool| if there { "there" } else { "not there" };
        output::line(format_args!("/{}: {}", additions::PROGRAM, there(initrd.program)))?;
        output::line(format_args!("/{}: {}", additions::MANIFEST_CA, there(initrd.manifest_ca)))?;
        for policy in &initrd.policies {
            let (kind, keyset) = (policy.info.kind.as_str(), &policy.info.keyset);
            output::line(format_args!(
                "/{}: {kind} of keyset {keyset} at PCR 7 {}",
                additions::PCR7DATA,
                hex(&policy.pcr7)
            ))?;
        }
        if initrd.policies.is_empty() {
            let what = if initrd.files.contains_key(additions::PCR7DATA) { "without policies" } else { "not there" };
            output::line(format_args!("/{}: {what}", additions::PCR7DATA))?;
        }
        Ok(())
    }
}

/// Who is said to have signed.
struct SignerLine {
    subject: Option<String>,
    /// Whether what was signed is the digest of this image.
    matches: bool,
}

fn signers(image: &Image<'_>) -> Result<Vec<SignerLine>> {
    const NO_ANCHORS: [&[u8]; 0] = [];
    let signatures = authenticode::verify(image.data(), &NO_ANCHORS)?.signatures.into_iter();
    Ok(signatures.map(|found| SignerLine { subject: found.signer, matches: found.is_of_image }).collect())
}
