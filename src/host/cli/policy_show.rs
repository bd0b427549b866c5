//! `trust policy show`.

use super::{
    event_logs::EventLogOptions, policy_known::show_known, seal, signed_policies::SignedPolicyOptions,
    tpm_options::TpmArguments, unseal::read_head,
};
use crate::{
    console,
    digest::{Digest, hex, unhex},
    error::Result,
    foreign::printable,
    host::{
        say::output::{self, Tone, coloured},
        seal::SealedFile,
    },
    policy::{Assertion, Policy, tree, verdict::Judgement},
    tpm::{Tpm, unseal::Evidence},
};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub const HELP: &str = "\
Examples:
  trust policy show token.sealed
  trust policy show --json token.sealed
  trust policy show $(xxd -p -c 32 policy.dat)    # a file of tpm2-tools

Each assertion is shown with whether it holds now, as far as the TPM says so without being told a secret, and of
alternatives the one that `trust unseal` would take. Without a TPM the policy is shown alone.

A digest does not tell its policy: it is looked for among those that are known here, which are those of pcr7data and
of --signed-policy, what these open, and what they delegate.";

/// `trust policy show`
#[derive(Args)]
pub struct PolicyShow {
    /// The sealed secret, or - for standard input; or the digest of a policy, in hex
    #[arg(value_name = "FILE|DIGEST", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    signed: SignedPolicyOptions,
    #[command(flatten)]
    logs: EventLogOptions,
    #[command(flatten)]
    tpm: TpmArguments,
}

/// The TPM, where there is one, and what policies are judged by.
pub(super) struct Judge {
    pub(super) tpm: Option<Tpm>,
    pub(super) evidence: Evidence,
}

impl Judge {
    /// `None` where there is no TPM.
    fn judge(&mut self, assertion: &Assertion) -> Result<Option<Judgement>> {
        self.tpm.as_mut().map(|tpm| tpm.judge(assertion, &self.evidence)).transpose()
    }

    pub(super) fn judge_policy(&mut self, policy: &Policy) -> Result<Option<Judgement>> {
        self.tpm.as_mut().map(|tpm| tpm.judge_policy(policy, &self.evidence)).transpose()
    }

    /// The lines of a policy, each with whether it holds.
    pub(super) fn tree(&mut self, policy: &Policy) -> Result<Vec<String>> {
        let mut failed = Ok(());
        let mut remark = |assertion: &Assertion| match self.judge(assertion) {
            Ok(judgement) => judgement.map(|judgement| format!(": {}", in_words(&judgement))),
            Err(error) => {
                failed = Err(error);
                None
            }
        };
        let lines = tree::annotated(policy, &mut remark);
        failed.map(|()| lines)
    }

    /// The same for programs.
    pub(super) fn assertions(&mut self, policy: &Policy) -> Result<Vec<Value>> {
        let mut assertions = Vec::new();
        for assertion in policy.assertions() {
            let line = tree::lines(&Policy::of([assertion.clone()])).join("\n");
            let judgement = self.judge(assertion)?;
            assertions.push(judged(json!({ "text": line }), judgement.as_ref()));
        }
        Ok(assertions)
    }
}

impl PolicyShow {
    pub(super) fn run(self) -> Result<()> {
        if let Some(digest) = digest(&self.file) {
            let mut judge = self.judge()?;
            return show_known(&digest, &self.signed, &mut judge, self.json);
        }
        let head = read_head(&mut *seal::open(Some(&self.file))?)?;
        let (mut file, stream) =
            SealedFile::parse(&head).map_err(|e| e.within(format!("use {}", self.file.display())))?;
        let mut judge = self.judge()?;
        if let Some(tpm) = &mut judge.tpm {
            file.recipe = tpm.complete(file.recipe, &file.blob)?;
            let logs = std::mem::take(&mut judge.evidence.logs);
            judge.evidence = Evidence { logs, ..self.signed.evidence(tpm, &file.recipe, &file.values)? };
        }
        if self.json {
            return output::json(&to_json(&file, stream.is_some(), &mut judge)?);
        }
        show(&file, stream.is_some(), &mut judge)
    }

    /// That of this TPM, with its logs.
    fn judge(&self) -> Result<Judge> {
        let tpm = match self.tpm.connect() {
            Ok(tpm) => Some(tpm),
            Err(error) => {
                console::note(&format!("whether it holds is not known: {error}"));
                None
            }
        };
        Ok(Judge { tpm, evidence: Evidence { logs: self.logs.read(&self.tpm)?, ..Evidence::default() } })
    }
}

/// The digest that is given in the place of a file.
fn digest(file: &Path) -> Option<Digest> {
    let digits = file.to_str().filter(|_| !file.exists())?;
    unhex(digits)?.try_into().ok()
}

fn show(file: &SealedFile, stream: bool, judge: &mut Judge) -> Result<()> {
    if let Some(description) = &file.description {
        output::line(format_args!("description  {}", printable(description)))?;
    }
    output::line(format_args!("parent       {}", file.parent))?;
    let holds = if stream { "the key of a stream" } else { "the secret itself" };
    output::line(format_args!("seals        {holds}"))?;
    output::line(format_args!("policy       {}", hex(&file.policy())))?;
    let taken = taken(file, judge)?;
    let several = file.recipe.names.len() > 1;
    for (number, (policy, name)) in (1..).zip(file.recipe.alternatives()) {
        let mut indent = "";
        if several {
            let name = name.map(|name| format!(": {}", printable(name))).unwrap_or_default();
            let mark = if taken == Some(number) { "  <- would be taken" } else { "" };
            output::line(format_args!("\nalternative {number}{name}{mark}"))?;
            indent = "  ";
        } else {
            output::line("")?;
        }
        let lines = judge.tree(policy)?;
        output::lines(lines.iter().map(|line| format!("{indent}{line}")))?;
    }
    Ok(())
}

fn in_words(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Holds => coloured(Tone::Good, "holds"),
        Judgement::Open(why) => coloured(Tone::Doubtful, why),
        Judgement::Fails(why) => format!("{}: {why}", coloured(Tone::Bad, "does not hold")),
    }
}

/// The number of the alternative that would be taken: the first that may hold.
fn taken(file: &SealedFile, judge: &mut Judge) -> Result<Option<usize>> {
    for (number, (policy, _)) in (1..).zip(file.recipe.alternatives()) {
        if judge.judge_policy(policy)?.is_some_and(|judgement| judgement.may_hold()) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn to_json(file: &SealedFile, stream: bool, judge: &mut Judge) -> Result<Value> {
    let taken = taken(file, judge)?;
    let mut alternatives = Vec::new();
    for (policy, name) in file.recipe.alternatives() {
        let assertions = judge.assertions(policy)?;
        let whole = judge.judge_policy(policy)?;
        alternatives.push(judged(json!({ "name": name, "assertions": assertions }), whole.as_ref()));
    }
    Ok(json!({
        "format": 1,
        "policy": hex(&file.policy()),
        "parent": file.parent.to_string(),
        "description": file.description,
        "pin": file.has_pin,
        "stream": stream,
        "alternatives": alternatives,
        "taken": taken,
    }))
}

/// With whether it holds: true, false, or null where that is not known.
pub(super) fn judged(mut object: Value, judgement: Option<&Judgement>) -> Value {
    let (holds, why) = match judgement {
        Some(Judgement::Holds) => (Some(true), None),
        Some(Judgement::Fails(why)) => (Some(false), Some(why)),
        Some(Judgement::Open(why)) => (None, Some(why)),
        None => (None, None),
    };
    if let Some(object) = object.as_object_mut() {
        object.insert("holds".into(), holds.into());
        object.insert("why".into(), why.cloned().into());
    }
    object
}
