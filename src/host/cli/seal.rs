//! `trust seal`.

use super::{
    HostCommand,
    nv::{self, NvDefine},
    policy_options::PolicyOptions,
    secrets::{PasswordOptions, PinOptions},
    signed_policies::SignedPolicyOptions,
    tpm_options::TpmArguments,
};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        fs::atomic::{self, Output},
        say::output,
        seal::{KEY_MARK, SealedFile, StreamKey, encrypt},
    },
    policy::statements::PolicyRecipe,
    secret::Secret,
    tpm::{Tpm, parent::Parent, seal::SealedBlob},
    tpm2::{duplication::tpm2b, sealed::MAX_DATA},
};
use clap::{Parser, ValueHint};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const HELP: &str = "\
Examples:
  trust seal --pcr sha256:0,2,7 -o token.sealed token.txt
  trust seal --system -o db.sealed <db.key
  trust seal --pcr 7 --or --pin -o key.sealed key.bin
  trust seal --nv-policy 0x01810001 -o db.sealed db.key
  trust seal --system --nv db.key              # prints its number: 0x01810000
  trust unseal token.sealed

The file is of use to this TPM alone, and may lie anywhere. Options of one alternative must all hold; --or stands
between alternatives. Without any, whoever may use this TPM can open it.

Up to 128 bytes are sealed in the TPM. Anything larger is encrypted with a key that the TPM seals, and may be of any
length: AES-256-GCM in chunks of 64 KiB. The secret is never in a temporary file, on the bus of the TPM it is encrypted,
and the output appears when it is complete.";

/// Seal a secret in this TPM: only the machine as it is described can open it
#[derive(Parser)]
#[command(name = "seal", after_help = HELP)]
pub struct Seal {
    /// The secret [default: standard input]
    #[arg(value_name = "IN", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Keep it in the TPM itself, in an index of its NV memory, which is printed: in one that is free, or in this one; as
    /// `trust nv define --write` does
    #[arg(long, value_name = "INDEX", num_args = 0..=1, require_equals = true, default_missing_value = "free")]
    #[arg(value_parser = nv_place, conflicts_with_all = ["output", "description", "parent", "public"])]
    nv: Option<NvChoice>,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    pin: PinOptions,
    /// A description for people, which is put into the file
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The key to seal it under: a handle, or owner, endorsement or null for one that is made: owner:rsa
    /// [default: 0x81000001 if it is there, else owner]
    #[arg(long, value_name = "KEY")]
    parent: Option<Parent>,
    #[command(flatten)]
    passwords: PasswordOptions,
    /// Write the public half as tpm2-tools have it, and not a key file
    #[arg(long, short = 'u', value_name = "FILE", requires = "private", conflicts_with = "output")]
    public: Option<PathBuf>,
    /// Write the private half as tpm2-tools have it
    #[arg(long, short = 'r', value_name = "FILE", requires = "public")]
    private: Option<PathBuf>,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl HostCommand for Seal {
    fn run(self) -> Result<()> {
        if let Some(NvChoice(index)) = self.nv {
            let input = self.input.unwrap_or_else(|| "-".into());
            let password = self.passwords.owner();
            return NvDefine::sealing(index, input, (self.policy, self.signed, self.pin), (password, self.tpm)).run();
        }
        let mut input = open(self.input.as_deref())?;
        let (start, whole) = first_bytes(&mut *input)?;
        let mut tpm = self.tpm.connect()?;
        let given = self.policy.policy(&mut tpm, &self.signed)?;
        if given.is_none() {
            console::note("no policy is given: whoever may use this TPM can unseal it");
        }
        let asks_for_pin = given.as_ref().is_some_and(|given| given.asks_for_pin);
        let pin = if asks_for_pin { Some(self.pin.make()?) } else { None };
        let mut access = self.passwords.get()?;
        let parents = self.parent.map_or_else(|| Parent::USUAL.to_vec(), |parent| vec![parent]);
        self.signed.system.delegate_to(&mut access, &mut tpm, &parents);
        let seal = |tpm: &mut Tpm, data: &Secret| {
            let policy = given.as_ref().map(|given| &given.recipe.policy);
            tpm.seal(&parents, &access, policy, pin.as_ref(), data)
        };
        if let (Some(public), Some(private)) = (&self.public, &self.private) {
            if !whole {
                let why = format!("it is larger than {MAX_DATA} bytes, which is all that tpm2-tools seal");
                return Err(Error::new(Kind::Usage, "seal", why).remedy("leave -u and -r out"));
            }
            return write_pair(&seal(&mut tpm, &start)?.0, public, private);
        }
        let file = |(blob, parent): (SealedBlob, Parent)| {
            let (recipe, values) = given.as_ref().map_or_else(
                || (PolicyRecipe::default(), Vec::new()),
                |given| (given.recipe.clone(), given.values.clone()),
            );
            let description = self.description.clone();
            SealedFile { blob, parent, recipe, values, has_pin: pin.is_some(), description }
        };
        if whole {
            let text = file(seal(&mut tpm, &start)?).to_text(false)?;
            return match &self.output {
                Some(path) => atomic::replace(path, atomic::PRIVATE, &text),
                None => output::bytes(&text),
            };
        }
        let (key, sealed) = StreamKey::make()?;
        let head = file(seal(&mut tpm, &sealed)?).to_text(true)?;
        // The TPM is not needed any more, and others may wait for it.
        drop(tpm);
        let mut all = Exposed(&start).chain(input);
        match &self.output {
            Some(path) => {
                let mut output = Output::begin(path, atomic::PRIVATE)?;
                output.append(&head[..])?;
                encrypt(&key, &head, &mut all, &mut |bytes| output.append(bytes))?;
                output.finish()
            }
            None => {
                output::bytes(&head)?;
                encrypt(&key, &head, &mut all, &mut output::bytes)
            }
        }
    }
}

/// An index; `None`: one that is free.
#[derive(Clone, Copy)]
struct NvChoice(Option<u32>);

fn nv_place(text: &str) -> std::result::Result<NvChoice, String> {
    if text == "free" { Ok(NvChoice(None)) } else { nv::index(text).map(|index| NvChoice(Some(index))) }
}

/// A file, or standard input.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Read>> {
    match path.filter(|path| *path != Path::new("-")) {
        None => Ok(Box::new(io::stdin())),
        Some(path) => File::open(path).map(|file| Box::new(file) as _).map_err(|e| atomic::cannot("read", path, &e)),
    }
}

/// As much as decides how it is sealed; whether that is all.
fn first_bytes(input: &mut dyn Read) -> Result<(Secret, bool)> {
    let mut bytes = Zeroizing::new([0; MAX_DATA + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(size) => length += size,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => crate::host::fs::interrupt::check()?,
            Err(e) => return Err(Error::system("read the secret", e).remedy("check the file")),
        }
    }
    let bytes = bytes.get(..length).unwrap_or_default();
    if bytes.is_empty() {
        return Err(
            Error::new(Kind::Usage, "seal", "the input is empty").remedy("give the secret as a file, or as input")
        );
    }
    let secret = Secret::filled(bytes.len(), |buffer| {
        buffer.copy_from_slice(bytes);
        Ok(())
    })?;
    // What looks like the key of a stream would be taken for one.
    Ok((secret, length <= MAX_DATA && !bytes.starts_with(KEY_MARK)))
}

/// A secret that is read.
struct Exposed<'a>(&'a Secret);

impl Exposed<'_> {
    #[allow(clippy::disallowed_methods, reason = "it is encrypted")]
    fn chain(self, rest: Box<dyn Read>) -> impl Read {
        io::Cursor::new(Zeroizing::new(self.0.expose().to_vec())).chain(rest)
    }
}

/// The two files of tpm2-tools.
fn write_pair(blob: &SealedBlob, public: &Path, private: &Path) -> Result<()> {
    for (path, area) in [(public, &blob.public), (private, &blob.private)] {
        let area = tpm2b(area).ok_or_else(|| Error::new(Kind::System, "seal", "an area is too large"))?;
        atomic::replace(path, atomic::PRIVATE, &area)?;
    }
    Ok(())
}
