//! `trust nv …`.

mod list;

use super::{
    HostCommand,
    owner_password::OwnerPasswordOptions,
    plaintext,
    policy_options::{GivenPolicy, PolicyOptions},
    secrets::PinOptions,
    signed_policies::SignedPolicyOptions,
    tpm_options::TpmArguments,
};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::say::output,
    tpm::{
        NvDefinition, NvForm, NvKey, NvSpace, Tpm,
        layout::{self, Index},
        unseal::Evidence,
    },
    tpm2::{
        nv::attribute,
        nv_registry::{self, Authority},
    },
};
use clap::{ArgGroup, Args, Parser, ValueHint};
use std::path::PathBuf;

/// Secrets in the TPM's own memory: NV indices
#[derive(Parser)]
#[command(name = "nv")]
pub enum NvCommand {
    /// Define an index, and print its number; with --write, its content as well
    #[command(after_help = DEFINE_HELP)]
    Define(NvDefine),
    /// Write a content into an index, in place of the one that is there
    #[command(after_help = WRITE_HELP)]
    Write(NvWrite),
    /// Read the content of an index
    #[command(after_help = READ_HELP)]
    Read(NvReadCommand),
    /// Show all indices: their sizes, who may read and write them, and whose they are
    #[command(after_help = "Examples:\n  trust nv list\n  trust nv list --json")]
    List(NvList),
    /// Remove an index, and what it holds
    #[command(after_help = REMOVE_HELP)]
    Remove(NvRemove),
}

const DEFINE_HELP: &str = "\
Without INDEX, the first free one from 0x01810000 on is taken, of those that TCG leaves to the owner (0x01800000 to
0x01bfffff). What does not fit into the TPM is refused before anything is changed. By default the owner reads and
writes the index, whose password may be empty; --attributes takes the words of tpm2-tools.

Examples:
  trust nv define --write token.txt          # prints its number: 0x01810000
  trust nv define --pcr sha256:7,15 --write token.txt
  trust nv define 0x01810010 --size 64 --pin
  trust nv define --size 32 --raw --attributes 'ownerwrite|authread|no_da'

With a policy its content is read by whoever gives the same policy when it holds, and no longer by the owner, who can
still write it; PCRs are meant as they are now unless their values are given. With --pin the TPM counts wrong guesses.

On a machine of a keyset the running system defines indices without the owner's password, which it does not know, and
can remove none: what it defines is then written as it is read, under the policy or by anyone.

An index of ours begins with 38 bytes that say whether its content is whole. With --raw it has none, like those of
tpm2-tools.";

const WRITE_HELP: &str = "\
What fits into one command of the TPM (some 470 to 2000 bytes) is written in one: a power cut leaves the old content
or the new one. Of a longer content, `trust nv read` says if it was not written to its end.

Examples:
  trust nv write 0x01810000 token.txt
  pwgen 32 1 | trust nv write 0x01810000

With --raw the bytes are written as they are, from the first of the index on, as tpm2_nvwrite does it: of more than
one command, a power cut may leave a part, and nothing tells.";

const READ_HELP: &str = "\
Examples:
  trust nv read 0x01810000
  trust nv read 0x01810000 -o token.txt
  trust nv read 0x01810001 --pcr sha256:7,15

An index without our header, as of tpm2-tools, is read as it is, all of it; whether its content is whole is not known.
With --raw every index is.";

const REMOVE_HELP: &str = "\
Examples:
  trust nv remove 0x01810000

Indices that hold what this machine boots with, or that are the maker's of the TPM or of the machine, are removed
with --force alone.";

/// What is done as the owner of the TPM.
#[derive(Args)]
struct OwnerOptions {
    #[command(flatten)]
    password: OwnerPasswordOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl OwnerOptions {
    fn open(&self) -> Result<NvSpace<'_>> {
        Ok(self.space(self.tpm.connect()?))
    }

    fn space(&self, tpm: Tpm) -> NvSpace<'_> {
        NvSpace::new(tpm, Box::new(|| self.password.get()))
    }
}

/// What opens an index that was defined with a policy or has a password.
#[derive(Args)]
struct NvKeyOptions {
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    pin: PinOptions,
}

impl NvKeyOptions {
    /// Has `use_key` open an index of `space` with it.
    fn open<T>(
        &self,
        owner: &OwnerOptions,
        use_key: impl FnOnce(&mut NvSpace<'_>, NvKey<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut tpm = owner.tpm.connect()?;
        let given = self.policy.policy(&mut tpm, &self.signed)?;
        let recipe = given.as_ref().map(|given| &given.recipe);
        let evidence = evidence(&self.signed, &mut tpm, given.as_ref())?;
        let pin = || self.pin.get();
        let has_pin = given.as_ref().is_some_and(|given| given.asks_for_pin) || self.pin.is_given();
        let key = NvKey { policy: recipe.map(|recipe| (recipe, &evidence)), pin: has_pin.then_some(&pin) };
        use_key(&mut owner.space(tpm), key)
    }
}

/// `trust nv define`
#[derive(Args)]
#[command(group = ArgGroup::new("content").required(true).args(["size", "write"]))]
pub struct NvDefine {
    /// Number of the index, 0x01800000 to 0x01bfffff; by default one that is free
    #[arg(value_parser = index)]
    index: Option<u32>,
    /// How many bytes of content there must be room for
    #[arg(long, value_name = "BYTES")]
    size: Option<u16>,
    /// Make it as large as this file, and write that; - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    write: Option<PathBuf>,
    /// Who may read and write it, in words of tpm2-tools joined by |: ownerread|ownerwrite|no_da by default, and with a
    /// policy policyread|ownerwrite|no_da, without no_da where it asks for a PIN
    #[arg(long, value_name = "WORDS", value_parser = attribute::parse)]
    attributes: Option<u32>,
    /// Without our header
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    pin: PinOptions,
    #[command(flatten)]
    owner: OwnerOptions,
}

/// `trust nv write`
#[derive(Args)]
pub struct NvWrite {
    /// Number of the index
    #[arg(value_parser = index)]
    index: u32,
    /// The content; - for standard input
    #[arg(value_name = "IN", default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
    input: PathBuf,
    /// As it is, without our header
    #[arg(long)]
    raw: bool,
    /// Even where this machine needs what it holds
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    key: NvKeyOptions,
    #[command(flatten)]
    owner: OwnerOptions,
}

/// `trust nv read`
#[derive(Args)]
pub struct NvReadCommand {
    /// Number of the index
    #[arg(value_parser = index)]
    index: u32,
    /// Where the content goes; by default to standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// All of the index as it is, its header as well
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    key: NvKeyOptions,
    #[command(flatten)]
    owner: OwnerOptions,
}

/// `trust nv list`
#[derive(Args)]
pub struct NvList {
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tpm: TpmArguments,
}

/// `trust nv remove`
#[derive(Args)]
pub struct NvRemove {
    /// Number of the index
    #[arg(value_parser = index)]
    index: u32,
    /// Even where this machine needs what it holds
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    owner: OwnerOptions,
}

impl HostCommand for NvCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Define(command) => command.run(),
            Self::Write(command) => command.run(),
            Self::Read(command) => command.run(),
            Self::List(command) => list::run(&command.tpm, command.json),
            Self::Remove(command) => command.run(),
        }
    }
}

/// What opens an index, as other commands have it: policy, signed policies, PIN.
type KeyParts = (PolicyOptions, SignedPolicyOptions, PinOptions);
/// The TPM and its owner, as other commands have them.
type OwnerParts = (OwnerPasswordOptions, TpmArguments);

impl From<OwnerParts> for OwnerOptions {
    fn from((password, tpm): OwnerParts) -> Self {
        Self { password, tpm }
    }
}

impl NvDefine {
    /// As `trust seal --nv` has it.
    pub(super) fn sealing(index: Option<u32>, input: PathBuf, key: KeyParts, owner: OwnerParts) -> Self {
        let ((policy, signed, pin), owner) = (key, owner.into());
        Self { index, size: None, write: Some(input), attributes: None, raw: false, policy, signed, pin, owner }
    }

    pub(super) fn run(self) -> Result<()> {
        if let Some(index) = self.index {
            refuse_needed("define", index)?;
        }
        let content = self.write.as_deref().map(plaintext::read).transpose()?;
        let mut tpm = self.owner.tpm.connect()?;
        let given = self.policy.policy(&mut tpm, &self.signed)?;
        let asks_for_pin = given.as_ref().is_some_and(|given| given.asks_for_pin);
        let pin = if asks_for_pin || self.pin.is_given() { Some(self.pin.make()?) } else { None };
        let evidence = evidence(&self.signed, &mut tpm, given.as_ref())?;
        let delegation = if self.owner.password.is_given() { None } else { self.signed.system.delegation(&mut tpm) };
        let mut space = self.owner.space(tpm).delegated_by(delegation);
        // Who may write, where the owner's password is not there to do so.
        let (own, by_policy) = if space.is_delegated()? {
            (attribute::AUTHREAD | attribute::AUTHWRITE, attribute::POLICYREAD | attribute::POLICYWRITE)
        } else {
            (attribute::OWNERREAD | attribute::OWNERWRITE, attribute::POLICYREAD | attribute::OWNERWRITE)
        };
        let by_default = match (&given, asks_for_pin) {
            (None, _) => own | attribute::NO_DA,
            (Some(_), false) => by_policy | attribute::NO_DA,
            // Whoever guesses is to be locked out.
            (Some(_), true) => by_policy,
        };
        let definition = NvDefinition {
            index: self.index,
            attributes: self.attributes.unwrap_or(by_default),
            policy: given.as_ref().map(|given| (&given.recipe, &evidence)),
            password: pin.as_ref(),
        };
        let form = form(self.raw);
        let index = match (content, self.size) {
            (Some(content), _) => space.define_with(&definition, &content, form)?,
            (None, size) => space.define(&definition, size.unwrap_or(0).into(), form)?,
        };
        output::line(format_args!("{index:#010x}"))
    }
}

impl NvWrite {
    fn run(self) -> Result<()> {
        if !self.force {
            refuse_needed("write", self.index)?;
        }
        let content = plaintext::read(&self.input)?;
        self.key.open(&self.owner, |space, key| space.write(self.index, &content, form(self.raw), key))
    }
}

impl NvReadCommand {
    /// As `trust unseal --nv` has it.
    pub(super) fn unsealing(index: u32, output: Option<PathBuf>, key: KeyParts, owner: OwnerParts) -> Self {
        let ((policy, signed, pin), owner) = (key, owner.into());
        Self { index, output, raw: false, key: NvKeyOptions { policy, signed, pin }, owner }
    }

    pub(super) fn run(self) -> Result<()> {
        let read = self.key.open(&self.owner, |space, key| space.read(self.index, form(self.raw), key))?;
        if read.form == NvForm::Raw && !self.raw {
            console::note(&format!("{:#010x} has no header of ours: all of it is read, whole or not", self.index));
        }
        plaintext::write(self.output.as_ref(), &read.content)
    }
}

impl NvRemove {
    fn run(self) -> Result<()> {
        if !self.force {
            refuse_needed("remove", self.index)?;
        }
        self.owner.open()?.remove(self.index)
    }
}

/// What a policy is judged by.
fn evidence(signed: &SignedPolicyOptions, tpm: &mut Tpm, given: Option<&GivenPolicy>) -> Result<Evidence> {
    given.map_or_else(|| Ok(Evidence::default()), |given| signed.evidence(tpm, &given.recipe, &given.values))
}

const fn form(raw: bool) -> NvForm {
    if raw { NvForm::Raw } else { NvForm::Framed }
}

/// The layout's index of this number, if it is one.
fn of_layout(index: u32) -> Option<Index> {
    layout::ALL.into_iter().find(|known| known.handle() == index)
}

/// Refuses what would break the machine.
fn refuse_needed(what: &str, index: u32) -> Result<()> {
    let refuse = |why: String| Err(Error::new(Kind::Refused, format!("{what} index {index:#010x}"), why));
    const SURE: &str = "leave it; to do it all the same, say --force";
    if let Some(known) = of_layout(index) {
        let why = format!("it is for {}, without which Trust does not boot this machine", known.title());
        return if what == "define" {
            refuse(why).map_err(|e| e.remedy("choose another index, or none"))
        } else {
            refuse(why).map_err(|e| e.remedy(SURE))
        };
    }
    match nv_registry::of(index) {
        Some((Authority::Tcg | Authority::Maker, purpose)) if what != "define" => {
            refuse(format!("it is the firmware's or the maker's, for: {purpose}")).map_err(|e| e.remedy(SURE))
        }
        _ => Ok(()),
    }
}

/// The number of an index, as tpm2-tools write it, with or without zeros in front.
pub(super) fn index(text: &str) -> std::result::Result<u32, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = digits.map_or_else(|| text.parse().ok(), |digits| u32::from_str_radix(digits, 16).ok());
    let number = number.filter(|number| number >> 24 == 1 && !text.contains('+'));
    number.ok_or_else(|| format!("{text:?} is not the number of an index, like 0x01810000"))
}
