//! Policies on the command line: `--pcr`, `--system`, `--signed-by`, `--nv-policy`, `--version`, `--pin`, and `--or` between alternatives.
//!
//! Their order counts, so that clap is asked where each stood.

use super::{arguments, nv, signed_policies::SignedPolicyOptions};
use crate::{
    digest::unhex,
    error::{Error, Kind, Result},
    host::fs::atomic,
    policy::{
        Assertion, Policy,
        assertion::Operand,
        pcr_values::{PcrName, PcrValues, WantedPcrs, WantedValue},
        public_key::PolicyKey,
        statements::PolicyRecipe,
    },
    tpm::Tpm,
    tpm2::{bank, name},
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use std::path::{Path, PathBuf};

/// The heading of these options in a help.
const HEADING: &str = "What opens it";

/// A policy as it is given.
#[derive(Clone, Debug, Default)]
pub struct PolicyOptions {
    /// The alternatives, each with its terms; none where nothing is given.
    alternatives: Vec<Vec<Term>>,
}

/// What one option asks for.
#[derive(Clone, Debug)]
enum Term {
    Pcr(WantedPcrs),
    System,
    SignedBy(String),
    NvPolicy(u32),
    Version(VersionTerm),
    Pin,
}

/// What an index must hold.
#[derive(Clone, Debug)]
struct VersionTerm {
    index: u32,
    value: Operand,
}

/// A policy with all that was found out about it.
pub struct GivenPolicy {
    /// The policy, and the keys in it.
    pub recipe: PolicyRecipe,
    /// The values of its PCRs.
    pub values: Vec<PcrValues>,
    /// Whether one of its alternatives asks for a PIN.
    pub asks_for_pin: bool,
}

impl Args for PolicyOptions {
    fn augment_args(command: Command) -> Command {
        let option = |id: &'static str| Arg::new(id).long(id).action(ArgAction::Append).help_heading(HEADING);
        let flag = |id| option(id).num_args(0).default_missing_value("");
        command
            .arg(
                option("pcr")
                    .value_name("BANK:PCRS")
                    .value_parser(WantedPcrs::parse)
                    .help("These PCRs have the values that they have now, as in sha256:0,7; or others: 7=HEX, 7=@FILE, 7=locked (once Trust has locked it)"),
            )
            .arg(flag("system").help("The running system of a machine of the keyset, in any boot that is signed for production"))
            .arg(
                option("signed-by")
                    .value_name("KEY[:REF]")
                    .value_hint(ValueHint::FilePath)
                    .help("Whatever policy this public key has signed, for this reference"),
            )
            .arg(
                option("nv-policy")
                    .value_name("INDEX")
                    .value_parser(nv::index)
                    .help("Whatever policy this NV index holds: the values that `trust policy store` has last put there"),
            )
            .arg(
                option("version")
                    .value_name("INDEX=VALUE")
                    .value_parser(version)
                    .help("The NV index holds this: text, or bytes as hex:DIGITS"),
            )
            .arg(flag("pin").help("A PIN; wrong ones count as an attack on the TPM"))
            .arg(flag("or").help("Between alternatives: the options before it, or those after it"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PolicyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut terms: Vec<(usize, Option<Term>)> = Vec::new();
        let places = |id| matches.indices_of(id).into_iter().flatten();
        for (place, pcrs) in places("pcr").zip(matches.get_many::<WantedPcrs>("pcr").into_iter().flatten()) {
            terms.push((place, Some(Term::Pcr(pcrs.clone()))));
        }
        for (place, key) in places("signed-by").zip(matches.get_many::<String>("signed-by").into_iter().flatten()) {
            terms.push((place, Some(Term::SignedBy(key.clone()))));
        }
        for (place, index) in places("nv-policy").zip(matches.get_many::<u32>("nv-policy").into_iter().flatten()) {
            terms.push((place, Some(Term::NvPolicy(*index))));
        }
        for (place, index) in places("version").zip(matches.get_many::<VersionTerm>("version").into_iter().flatten()) {
            terms.push((place, Some(Term::Version(index.clone()))));
        }
        terms.extend(places("system").map(|place| (place, Some(Term::System))));
        terms.extend(places("pin").map(|place| (place, Some(Term::Pin))));
        terms.extend(places("or").map(|place| (place, None)));
        terms.sort_by_key(|(place, _)| *place);
        if terms.is_empty() {
            return Ok(Self::default());
        }
        let mut alternatives: Vec<Vec<Term>> = vec![Vec::new()];
        for (_, term) in terms {
            match (term, alternatives.last_mut()) {
                (Some(term), Some(last)) => last.push(term),
                _ => alternatives.push(Vec::new()),
            }
        }
        if alternatives.iter().any(Vec::is_empty) {
            let why = "--or stands between two alternatives, neither of which may be empty\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, why));
        }
        if alternatives.len() > 8 {
            let why = "a TPM takes at most eight alternatives\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::TooManyValues, why));
        }
        Ok(Self { alternatives })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl PolicyOptions {
    /// As `--system`.
    pub fn system() -> Self {
        Self { alternatives: vec![vec![Term::System]] }
    }

    /// As `--pcr 7`.
    pub fn pcr7() -> Self {
        let pcr7 = WantedPcrs::parse("7").map(Term::Pcr);
        Self { alternatives: vec![pcr7.into_iter().collect()] }
    }

    /// Whether any is given.
    pub const fn is_given(&self) -> bool {
        !self.alternatives.is_empty()
    }

    /// The policy, with the values that PCRs have now; `None` where none is given. `known` finds the key of
    /// `--system`, and what is known of indices.
    ///
    /// # Errors
    /// [`Kind::Usage`]: something in it cannot be had.
    pub fn policy(&self, tpm: &mut Tpm, known: &SignedPolicyOptions) -> Result<Option<GivenPolicy>> {
        if self.alternatives.is_empty() {
            return Ok(None);
        }
        let mut given = GivenPolicy { recipe: PolicyRecipe::default(), values: Vec::new(), asks_for_pin: false };
        let mut branches = Vec::new();
        for terms in &self.alternatives {
            branches.push(given.add(terms, tpm, known)?);
        }
        given.recipe.policy = match <[Policy; 1]>::try_from(branches) {
            Ok([only]) => only,
            Err(branches) => {
                given.recipe.names = self.alternatives.iter().map(|terms| Some(title(terms))).collect();
                Policy::of([Assertion::Or(branches)])
            }
        };
        Ok(Some(given))
    }
}

/// What people call an alternative: its options.
fn title(terms: &[Term]) -> String {
    let of = |term: &Term| match term {
        Term::Pcr(wanted) => wanted.selections().iter().map(ToString::to_string).collect::<Vec<_>>().join("+"),
        Term::System => "system".into(),
        Term::SignedBy(key) => format!("signed by {key}"),
        Term::NvPolicy(index) => format!("policy in index {index:#x}"),
        Term::Version(term) => format!("index {:#x}", term.index),
        Term::Pin => "PIN".into(),
    };
    terms.iter().map(of).collect::<Vec<_>>().join(", ")
}

impl GivenPolicy {
    /// One alternative: what is signed or in an index first, since that replaces what stands before it, then PCRs, indices and the PIN.
    fn add(&mut self, terms: &[Term], tpm: &mut Tpm, known: &SignedPolicyOptions) -> Result<Policy> {
        let (mut signed, mut stored, mut wanted) = (Vec::new(), Vec::new(), WantedPcrs::default());
        let (mut indices, mut pin) = (Vec::new(), None);
        for term in terms {
            match term {
                Term::Pcr(pcrs) => wanted = wanted.and(read_files(pcrs)?).map_err(|why| usage("--pcr", why))?,
                Term::System => signed.push((known.system.signer(tpm)?, reference(b"system")?)),
                Term::SignedBy(key) => signed.push(signer(key)?),
                Term::NvPolicy(index) => stored.push(known.stored.index(*index, tpm)?),
                Term::Version(VersionTerm { index, value }) => {
                    indices.push(Assertion::nv(tpm.written_index(*index)?, value.clone()))
                }
                Term::Pin => pin = Some(Assertion::AuthValue),
            }
        }
        if signed.len() + stored.len() > 1 {
            let why = "only one of them can be part of one alternative".into();
            return Err(usage("--system, --signed-by and --nv-policy", why).remedy("put --or between them"));
        }
        let mut assertions: Vec<_> = stored.into_iter().map(|index| Assertion::AuthorizeNv { index }).collect();
        for (area, policy_ref) in signed {
            assertions.push(Assertion::Authorize { signer: name::of(&area), policy_ref });
            if !self.recipe.signers.contains(&area) {
                self.recipe.signers.push(area);
            }
        }
        if !wanted.0.is_empty() {
            let needs_tpm = wanted.0.iter().any(|(_, value)| !matches!(value, WantedValue::Literal(_)));
            let now = if needs_tpm { tpm.read_pcrs(&wanted.selections())?.values } else { PcrValues::default() };
            let values = wanted.resolve(&|name| now.get(name)).map_err(|why| usage("--pcr", why))?;
            assertions.push(values.assertion().ok_or_else(|| usage("--pcr", "these are too many banks".into()))?);
            self.values.push(values);
        }
        assertions.extend(indices);
        self.asks_for_pin |= pin.is_some();
        assertions.extend(pin);
        Ok(Policy::of(assertions))
    }
}

fn usage(option: &str, why: String) -> Error {
    Error::new(Kind::Usage, format!("use {option}"), why)
}

/// Those in files read.
pub(super) fn read_files(wanted: &WantedPcrs) -> Result<WantedPcrs> {
    let read = |(name, value): &(_, WantedValue)| {
        let name: PcrName = *name;
        let WantedValue::File(path) = value else { return Ok((name, value.clone())) };
        let bytes = atomic::read(path)?;
        let size = bank::by_id(name.bank).map_or(0, |bank| bank.size);
        if bytes.len() != size {
            let why = format!("{} has {} and not {size} bytes", path.display(), bytes.len());
            return Err(usage("--pcr", why).remedy("give a file with the value in binary, not in hex"));
        }
        Ok((name, WantedValue::Literal(bytes)))
    };
    Ok(WantedPcrs(wanted.0.iter().map(read).collect::<Result<_>>()?))
}

/// A public key in PEM as a `TPMT_PUBLIC`, and what it signs for.
fn signer(key: &str) -> Result<(Vec<u8>, Operand)> {
    let whole = Path::new(key);
    let (path, policy_ref) = match key.rsplit_once(':') {
        Some((path, policy_ref)) if !whole.exists() => (PathBuf::from(path), policy_ref),
        _ => (whole.to_owned(), ""),
    };
    let key = arguments::parsed(&path, PolicyKey::from_pem)?;
    Ok((key.area().to_vec(), reference(policy_ref.as_bytes())?))
}

fn reference(bytes: &[u8]) -> Result<Operand> {
    Operand::from_slice(bytes).map_err(|_| usage("--signed-by", "the reference is longer than 64 bytes".into()))
}

/// `INDEX=VALUE`.
fn version(text: &str) -> std::result::Result<VersionTerm, String> {
    let bad = || format!("{text:?} is not INDEX=VALUE, such as 0x1500020=0001");
    let (index, value) = text.split_once('=').ok_or_else(bad)?;
    let index = index.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let index = index.filter(|index| index >> 24 == 1).ok_or_else(bad)?;
    let value = match value.strip_prefix("hex:") {
        Some(digits) => unhex(digits).ok_or_else(bad)?,
        None => value.as_bytes().to_vec(),
    };
    let value = Operand::from_slice(&value).map_err(|_| "at most 64 bytes of an index are compared".to_owned())?;
    if value.is_empty() { Err(bad()) } else { Ok(VersionTerm { index, value }) }
}
