//! `trust unseal`.

use super::{
    HostCommand, arguments, credential,
    event_logs::EventLogOptions,
    nv::{self, NvReadCommand},
    policy_options::PolicyOptions,
    seal::open,
    secrets::{PasswordOptions, PinOptions},
    signed_policies::SignedPolicyOptions,
    tpm_options::TpmArguments,
};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
    host::{
        fs::atomic::{self, Output},
        say::output,
        seal::{KEY_MARK, MAX_HEAD, SealedFile, StreamKey, decrypt},
    },
    policy::{pcr_values::PcrValues, statements::PolicyRecipe},
    secret::Secret,
    tpm::{
        Tpm,
        parent::Parent,
        seal::{PinSource, SealedBlob},
        unseal::Evidence,
    },
    tpm2::sealed::SealedPublic,
};
use clap::{Parser, ValueHint};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

const HELP: &str = "\
Examples:
  trust unseal token.sealed
  trust unseal -o key.bin --pin-file /run/pin key.sealed
  trust unseal --pcr sha256:0,7 -u seal.pub -r seal.priv

A file appears with -o when all of it has been verified. On a pipe, what is larger than 128 bytes comes in pieces that
are verified each: a reader must not act on it before this program has ended with status 0, since the end may be missing.

What was sealed with tpm2-tools (tpm2_create -i) is two files, which do not say what opens them: give the same PCRs, and
the same parent if that was not 0x81000001.";

/// Open what `trust seal` has sealed
#[derive(Parser)]
#[command(name = "unseal", after_help = HELP)]
pub struct Unseal {
    /// The sealed secret [default: standard input]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "public")]
    input: Option<PathBuf>,
    /// Where the secret goes [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Answer systemd, which asks for a credential on the socket that is standard input, with the secret in this directory
    /// that is named after it: UNIT/NAME.pem or NAME.pem
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["input", "output", "public"])]
    credential: Option<PathBuf>,
    /// The secret in this index of the TPM's NV memory, with the policy that it was sealed with; as `trust nv read` does
    #[arg(long, value_name = "INDEX", value_parser = nv::index)]
    #[arg(conflicts_with_all = ["input", "credential", "public", "parent"])]
    nv: Option<u32>,
    #[command(flatten)]
    pin: PinOptions,
    /// The key that it was sealed under [default: what the file says; else 0x81000001 or owner]
    #[arg(long, value_name = "KEY")]
    parent: Option<Parent>,
    #[command(flatten)]
    passwords: PasswordOptions,
    /// The public half, as tpm2-tools have it
    #[arg(long, short = 'u', value_name = "FILE", requires = "private", value_hint = ValueHint::FilePath)]
    public: Option<PathBuf>,
    /// The private half, as tpm2-tools have it
    #[arg(long, short = 'r', value_name = "FILE", requires = "public", value_hint = ValueHint::FilePath)]
    private: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    logs: EventLogOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl HostCommand for Unseal {
    fn run(mut self) -> Result<()> {
        if let Some(dir) = self.credential.take() {
            return credential::answer(&dir, |file| Self { input: Some(file), ..self }.run());
        }
        if let Some(index) = self.nv {
            let password = self.passwords.owner();
            let key = (self.policy, self.signed, self.pin);
            return NvReadCommand::unsealing(index, self.output, key, (password, self.tpm)).run();
        }
        if let (Some(public), Some(private)) = (&self.public, &self.private) {
            let blob = SealedBlob { public: area(public)?, private: area(private)? };
            return self.unseal_pair(&blob);
        }
        let mut input = open(self.input.as_deref())?;
        let head = read_head(&mut *input)?;
        let (mut file, stream) = SealedFile::parse(&head).map_err(|e| match &self.input {
            Some(path) => e.within(format!("use {}", path.display())),
            None => e,
        })?;
        let mut tpm = self.tpm.connect()?;
        file.recipe = tpm.complete(file.recipe, &file.blob)?;
        let evidence = self.evidence(&mut tpm, &file.recipe, &file.values)?;
        let parents = self.parent.unwrap_or(file.parent).candidates();
        let secret = self.open(&mut tpm, &file.blob, &parents, &file.recipe, &evidence, file.has_pin)?;
        drop(tpm);
        let key = StreamKey::of(&secret);
        match (key, stream) {
            (None, None) => self.write(&secret),
            (Some(key), Some(start)) => {
                let (head, begun) = head.split_at_checked(start.0).unwrap_or((&head, &[]));
                let mut stream = begun.chain(input);
                match &self.output {
                    Some(path) => {
                        let mut output = Output::begin(path, atomic::PRIVATE)?;
                        decrypt(&key, head, &mut stream, &mut |bytes| output.append(bytes))?;
                        output.finish()
                    }
                    None => decrypt(&key, head, &mut stream, &mut output::bytes),
                }
            }
            (Some(_), None) => {
                Err(Error::new(Kind::Corrupt, "unseal", "what it seals is missing: only its key is there")
                    .remedy("get the file anew from where it was sealed"))
            }
            (None, Some(_)) => Err(Error::new(Kind::Corrupt, "unseal", "what follows it is not encrypted with it")
                .remedy("get the file anew from where it was sealed")),
        }
    }
}

impl Unseal {
    /// What its policy is judged by.
    fn evidence(&self, tpm: &mut Tpm, recipe: &PolicyRecipe, values: &[PcrValues]) -> Result<Evidence> {
        let logs = self.logs.read(&self.tpm)?;
        Ok(Evidence { logs, ..self.signed.evidence(tpm, recipe, values)? })
    }

    fn unseal_pair(&self, blob: &SealedBlob) -> Result<()> {
        let mut tpm = self.tpm.connect()?;
        let given = self.policy.policy(&mut tpm, &self.signed)?;
        let (recipe, values) =
            given.map_or_else(|| (PolicyRecipe::default(), Vec::new()), |given| (given.recipe, given.values));
        let public = SealedPublic::parse(&blob.public);
        if recipe.policy.assertions().is_empty() && public.as_ref().is_some_and(|public| !public.policy.is_empty()) {
            return Err(Error::new(Kind::Usage, "unseal", "these files do not say which policy opens them")
                .remedy("give the PCRs that it was sealed with, such as --pcr sha256:0,7"));
        }
        let parents = match self.parent {
            Some(parent) => parent.candidates(),
            None => Parent::USUAL.into_iter().flat_map(Parent::candidates).collect(),
        };
        let evidence = self.evidence(&mut tpm, &recipe, &values)?;
        // What may have a password does not say so.
        let has_pin = self.pin.is_given();
        let secret = self.open(&mut tpm, blob, &parents, &recipe, &evidence, has_pin)?;
        if secret_is_key(&secret) {
            return Err(Error::new(Kind::Corrupt, "unseal", "it is the key of a stream, which these files lack")
                .remedy("unseal the file that `trust seal` wrote"));
        }
        self.write(&secret)
    }

    fn open(
        &self,
        tpm: &mut Tpm,
        blob: &SealedBlob,
        parents: &[Parent],
        recipe: &PolicyRecipe,
        evidence: &Evidence,
        has_pin: bool,
    ) -> Result<Secret> {
        let mut access = self.passwords.get()?;
        self.signed.system.delegate_to(&mut access, tpm, parents);
        let mut ask = || if has_pin { self.pin.get().map(Some) } else { Ok(None) };
        // Two files do not say whether there is one.
        let pin = PinSource { ask: &mut ask, may_exist: has_pin || self.public.is_some() };
        tpm.unseal(blob, parents, &access, recipe, evidence, pin)
    }

    #[allow(clippy::disallowed_methods, reason = "to hand it over is what this command is for")]
    fn write(&self, secret: &Secret) -> Result<()> {
        match &self.output {
            Some(path) => atomic::replace(path, atomic::PRIVATE, secret.expose()),
            None => output::bytes(secret.expose()),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "only its mark is looked at")]
fn secret_is_key(secret: &Secret) -> bool {
    secret.expose().starts_with(KEY_MARK)
}

/// The bytes that a file begins with, or all of them.
pub fn read_head(input: &mut dyn Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    io::Read::take(input, MAX_HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|e| Error::system("read the sealed secret", e))?;
    Ok(head)
}

/// The area in a `TPM2B`.
fn area(path: &Path) -> Result<Vec<u8>> {
    let bytes = arguments::image(path)?;
    let mut reader = Reader::new(&bytes);
    let area = reader.tpm2b().filter(|_| reader.is_empty()).map(<[u8]>::to_vec);
    area.ok_or_else(|| {
        Error::new(Kind::Corrupt, format!("use {}", path.display()), "it is not a file of tpm2-tools with one area")
            .remedy("give the files that tpm2_create wrote with -u and -r")
    })
}
