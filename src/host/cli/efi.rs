//! `trust sign efi`, `trust verify efi`.

use super::{HostCommand, arguments};
use crate::{
    console,
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::{self, Output},
            data::{Input, MAX_IMAGE},
            interrupt,
        },
        image::{
            authenticode::{self, ImageReport, SignatureReport, Signer, Verdict},
            pe::Image,
        },
        pki::{
            certificate,
            facts::CertificateFacts,
            key::{Hash, PrivateKey},
        },
        say::output::{self, Tone},
    },
};
use clap::{Args, Parser, ValueHint};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Sign for Secure Boot
#[derive(Parser)]
#[command(name = "sign")]
pub enum Sign {
    /// Sign an EFI program: Authenticode, as firmware and shim want it
    #[command(after_help = "\
Signatures that are there stay, unless --replace is given; the same one is not added twice. \
With an RSA key the result is the same each time. sbverify and older firmware know SHA-256 alone.

Examples:
  trust sign efi grubx64.efi --key db.key --cert db.crt --output grubx64.efi
  trust sign efi linux.efi --key 'pkcs11:token=fleet;object=uki' \\
    --cert uki.pem --output out.efi")]
    Efi(SignEfi),
}

/// Verify what is signed for Secure Boot
#[derive(Parser)]
#[command(name = "verify")]
pub enum Verify {
    /// Verify an EFI program as strictly as a firmware could
    #[command(after_help = "\
A program is accepted when one of its signatures is good: its digest is that of the program, the signer's key has made \
it, and the signer is one of the certificates given or was issued by one, with every certificate in between at hand, \
entitled to issue others, and signed. SHA-256 and SHA-384 count, SHA-1 does not. Bytes that no signature covers have \
to be what they must be: gaps and padding zero, the certificate table at the end.

Firmware looks at neither clock nor checksum: certificates that have expired and a checksum that is neither right nor 0 are noted and not refused. It has dbx, which is not asked here.

Exit status: 0 accepted, 12 refused, 14 no EFI program, 2 usage.

Examples:
  trust verify efi grubx64.efi --cert db.crt
  trust verify efi --json shimx64.efi --cert ms-2011.crt --cert ms-2023.crt |
    jq .accepted")]
    Efi(VerifyEfi),
}

/// `trust sign efi`
#[derive(Args)]
pub struct SignEfi {
    /// The program
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Private key that signs: a file, or the URI of one in a token (pkcs11:…)
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Its certificate, in PEM or DER; others in the same file go along as intermediates
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cert: PathBuf,
    /// Where the signed program goes; may be FILE itself
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Hash that is signed
    #[arg(long, value_name = "HASH", default_value = "sha256", value_parser = ["sha256", "sha384"])]
    digest: String,
    /// Remove the signatures that are there
    #[arg(long)]
    replace: bool,
}

/// `trust verify efi`
#[derive(Args)]
pub struct VerifyEfi {
    /// The program
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Certificates, in PEM or DER, any of which may vouch for the program; may be repeated
    #[arg(long, value_name = "FILE", required = true, num_args = 1, value_hint = ValueHint::FilePath)]
    cert: Vec<PathBuf>,
    /// Refuse a program whose checksum is wrong, too
    #[arg(long)]
    strict: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl HostCommand for Sign {
    fn run(self) -> Result<()> {
        match self {
            Self::Efi(command) => command.run(),
        }
    }
}

impl HostCommand for Verify {
    fn run(self) -> Result<()> {
        match self {
            Self::Efi(command) => command.run(),
        }
    }
}

impl SignEfi {
    fn run(self) -> Result<()> {
        let of_file = |error: Error| error.within(format!("sign {}", self.file.display()));
        let input = Input::open(&self.file, MAX_IMAGE)?;
        let certificates = arguments::certificates(&self.cert)?;
        let certificates = certificates.iter().map(|der| certificate::from_der(der)).collect::<Result<Vec<_>>>();
        let certificates = certificates.map_err(|e| e.within(format!("use {}", self.cert.display())))?;
        let Some((certificate, intermediates)) = certificates.split_first() else { return Ok(()) };
        let key = PrivateKey::open(&self.key)?;
        let image = Image::parse(&input).map_err(of_file)?;
        let kept = if self.replace { &[] } else { image.certificates() };
        if let Some(flaw) = image.table_flaw().filter(|_| !self.replace) {
            let error = Error::new(Kind::Corrupt, "keep its signatures", flaw);
            return Err(of_file(error.remedy("have them replaced: --replace")));
        }
        let hash = if self.digest == "sha384" { Hash::Sha384 } else { Hash::Sha256 };
        if let Some(doubt) = doubt(&image, &CertificateFacts::of(certificate).common_name) {
            console::warn(&format!("{} {doubt}", self.file.display()));
        }
        let signer = Signer { key: &key, certificate, intermediates };
        interrupt::defer();
        // A link stays one.
        let path = self.output.canonicalize().unwrap_or(self.output);
        let mut output = Output::begin(&path, atomic::SHARED)?;
        authenticode::copy_bare(&image, &mut output).map_err(of_file)?;
        authenticode::sign(&mut output, kept, signer, hash, |_, _| ()).map_err(of_file)?;
        interrupt::check()?;
        output.finish()
    }
}

/// What an owner should know who signs a program as one that may read secrets.
fn doubt(image: &Image<'_>, signer: &str) -> Option<String> {
    const FOR_SECRETS: [&str; 2] = ["UKI Production", "UKI TPM"];
    const PARTS: [&str; 3] = [".linux", ".initrd", ".cmdline"];
    if !FOR_SECRETS.contains(&signer) {
        return None;
    }
    let lacking: Vec<_> = PARTS.into_iter().filter(|name| image.section(name).is_none()).collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "may read secrets with this signature, and lacks {}: what is not part of it is not signed; \
             build images with `trust uki build`",
            lacking.join(", ")
        )
    })
}

impl VerifyEfi {
    fn run(self) -> Result<()> {
        let input = Input::open(&self.file, MAX_IMAGE)?;
        let mut anchors = Vec::new();
        for path in &self.cert {
            anchors.extend(arguments::certificates(path)?);
        }
        let report = authenticode::verify(&input, &anchors);
        let mut report = report.map_err(|e| e.within(format!("verify {}", self.file.display())))?;
        if self.strict {
            report.be_strict();
        }
        if self.json {
            output::json(&Json::of(&self.file, &report))?;
        } else {
            show(&self.file, &report)?;
        }
        match report.refusal() {
            None => Ok(()),
            Some(why) => Err(Error::new(Kind::Refused, format!("accept {}", self.file.display()), why)
                .remedy("do not start it, or give the certificate that should vouch for it")),
        }
    }
}

/// For a reader.
fn show(file: &Path, report: &ImageReport) -> Result<()> {
    let verdict = |good| if good { (Tone::Good, "accepted") } else { (Tone::Bad, "refused") };
    let (tone, word) = verdict(report.is_accepted());
    let flaw = report.flaw.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    output::line(format!("{}: {}{flaw}", file.display(), output::coloured(tone, word)))?;
    output::lines(report.doubt.iter().chain(&report.notes).map(|note| format!("  note: {note}")))?;
    for (number, signature) in report.signatures.iter().enumerate() {
        let why = match &signature.verdict {
            Verdict::Accepted(_) => String::new(),
            Verdict::Refused(why) => format!(": {why}"),
        };
        let (tone, word) = verdict(why.is_empty());
        let word = output::coloured(tone, word);
        output::line(format!("  signature {} of {}: {word}{why}", number + 1, report.signatures.len()))?;
        output::lines(details(signature).into_iter().map(|(name, value)| format!("    {name:<9}{value}")))?;
    }
    Ok(())
}

fn details(signature: &SignatureReport) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    let (signer, issuer) = (signature.signer.clone(), signature.issuer.clone());
    details.extend(signer.map(|name| ("signer", name)));
    details.extend(issuer.map(|name| ("issuer", name)));
    details.extend(signature.digest.as_ref().map(|(hash, digest)| (name(*hash), hex(digest))));
    if let Verdict::Accepted(path) = &signature.verdict {
        details.extend(path.iter().skip(1).map(|name| ("through", name.clone())));
    }
    details.extend(signature.notes.iter().map(|note| ("note", note.clone())));
    details
}

/// For a program.
#[derive(Serialize)]
struct Json<'a> {
    file: String,
    accepted: bool,
    reason: Option<String>,
    notes: Vec<&'a str>,
    signatures: Vec<JsonSignature<'a>>,
}

#[derive(Serialize)]
struct JsonSignature<'a> {
    accepted: bool,
    reason: Option<&'a str>,
    signer: Option<&'a str>,
    issuer: Option<&'a str>,
    hash: Option<&'static str>,
    digest: Option<String>,
    /// Subjects, from the signer's to that of a certificate given.
    chain: &'a [String],
    notes: &'a [String],
}

impl<'a> Json<'a> {
    fn of(file: &Path, report: &'a ImageReport) -> Self {
        Self {
            file: file.display().to_string(),
            accepted: report.is_accepted(),
            reason: report.refusal(),
            notes: report.doubt.iter().chain(&report.notes).map(String::as_str).collect(),
            signatures: report.signatures.iter().map(JsonSignature::of).collect(),
        }
    }
}

impl<'a> JsonSignature<'a> {
    fn of(signature: &'a SignatureReport) -> Self {
        let (reason, chain) = match &signature.verdict {
            Verdict::Accepted(path) => (None, path.as_slice()),
            Verdict::Refused(why) => (Some(why.as_str()), &[][..]),
        };
        Self {
            accepted: reason.is_none(),
            reason,
            signer: signature.signer.as_deref(),
            issuer: signature.issuer.as_deref(),
            hash: signature.digest.as_ref().map(|(hash, _)| name(*hash)),
            digest: signature.digest.as_ref().map(|(_, digest)| hex(digest)),
            chain,
            notes: &signature.notes,
        }
    }
}

const fn name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha256 => "sha256",
        Hash::Sha384 => "sha384",
    }
}
