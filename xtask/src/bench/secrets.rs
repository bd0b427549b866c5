//! What it costs to seal a secret to a PCR and to open it again, beside tpm2-tools and systemd-creds on the same software
//! TPM, whose owner has no password; and a large one, beside the cipher alone.

use super::{
    candidates::manage_resources,
    measure::{Figures, Probe, median},
    requirements::Requirement,
    table::{aligned, grouped},
};
use crate::sh;
use anyhow::{Context, Result, ensure};
use harness::{Boot, HostTpm, Identity, Machine, SecretSearch, Swtpm};
use serde_json::{Value, json};
use std::{
    fs,
    process::{Command, Stdio},
};

/// How often each is run.
const ROUNDS: usize = 5;
/// How often the large one is.
const STREAM_ROUNDS: usize = 3;
/// Bytes of the large one.
const LARGE: u64 = 1 << 30;
/// Of a chunk, as `trust seal` has them.
const CHUNK: usize = 64 << 10;
/// What it may take of the cipher's processor time.
const RATIO: f64 = 2.0;
/// What is sealed; 64 digits, as a key would be.
const SECRET: &str = "3c1f9a7b5d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8";

/// A program that seals and unseals, by a shell.
struct Sealer {
    name: &'static str,
    seal: &'static str,
    unseal: &'static str,
}

const SEALERS: [Sealer; 3] = [
    Sealer {
        name: "trust",
        seal: r#""$TRUST_HOST" seal --tcti "$TPM2TOOLS_TCTI" --pcr sha256:7 -o /sandbox/sealed /sandbox/secret"#,
        unseal: r#""$TRUST_HOST" unseal --tcti "$TPM2TOOLS_TCTI" /sandbox/sealed"#,
    },
    Sealer {
        name: "tpm2-tools",
        seal: "sh -ec 'cd /sandbox; tpm2_createprimary -Q -C o -G ecc -c primary; \
               tpm2_createpolicy -Q --policy-pcr -l sha256:7 -L policy; \
               tpm2_create -Q -C primary -L policy -i secret -u public -r private -a \"fixedtpm|fixedparent\"'",
        unseal: "sh -ec 'cd /sandbox; tpm2_createprimary -Q -C o -G ecc -c primary; \
                 tpm2_load -Q -C primary -u public -r private -c object; tpm2_unseal -c object -p pcr:sha256:7'",
    },
    Sealer {
        name: "systemd-creds",
        seal: r#"systemd-creds encrypt --with-key=tpm2 --tpm2-pcrs=7 --name=secret --tpm2-device="$TPM2TOOLS_TCTI" /sandbox/secret /sandbox/credential"#,
        unseal: r#"systemd-creds decrypt --name=secret --tpm2-device="$TPM2TOOLS_TCTI" /sandbox/credential -"#,
    },
];

/// The two jobs of a [`Sealer`].
const JOBS: [&str; 2] = ["seal", "unseal"];

/// What one program costs, for each of [`JOBS`].
struct Sealed {
    name: &'static str,
    /// What was measured, and whether the secret was in clear on the bus; or why nothing was.
    figures: Result<[(Figures, bool); 2], String>,
}

/// All of it.
pub struct Secrets {
    sealed: Vec<Sealed>,
    /// Seconds of the processor in each round: `trust seal` of the large one, and its cipher alone.
    stream: Vec<(f64, f64)>,
}

impl Secrets {
    /// Runs them.
    pub fn run() -> Result<Self> {
        let mut machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
        machine.sandbox.set("TPM2TOOLS_TCTI", machine.tpm.tools().tcti());
        machine.sandbox.set("TRUST_HOST", harness::trust_host().display().to_string());
        fs::write(machine.sandbox.dir().join("secret"), SECRET)?;
        let sealed = SEALERS.iter().map(|sealer| measure(&machine, sealer)).collect::<Result<_>>()?;
        Ok(Self { sealed, stream: (0..STREAM_ROUNDS).map(|_| stream()).collect::<Result<_>>()? })
    }

    /// Whether that is little enough, and nothing in clear.
    pub fn check(&self) -> Vec<Requirement> {
        let count = |sealed: &Sealed, job: usize| sealed.figures.as_ref().ok().map(|all| all[job].0.record.len());
        let is_clear = |sealed: &&Sealed| sealed.figures.as_ref().is_ok_and(|all| all.iter().any(|(_, clear)| *clear));
        let ours = self.sealed.first();
        let others = || self.sealed.iter().skip(1).filter(|sealed| !is_clear(sealed));
        let demands = [
            "seal sends the fewest TPM commands of those that encrypt them",
            "unseal sends the fewest TPM commands of those that encrypt them",
        ];
        let fewest = |(job, demand): (usize, &'static str)| {
            let (ours, others) =
                (ours.and_then(|ours| count(ours, job)), others().filter_map(|other| count(other, job)));
            let least = others.min();
            let is_met = ours.is_some_and(|ours| least.is_none_or(|least| ours <= least));
            Requirement { demand, found: format!("{} and {}", number(ours), number(least)), is_met }
        };
        let mut requirements: Vec<_> = demands.into_iter().enumerate().map(fewest).collect();
        let clear = self.sealed.iter().find(|sealed| sealed.name == "trust").is_none_or(|ours| is_clear(&ours));
        requirements.push(Requirement {
            demand: "nothing of the secret in clear on the bus",
            found: if clear { "some".into() } else { "nothing".into() },
            is_met: !clear,
        });
        let ratio = self.ratio();
        requirements.push(Requirement {
            demand: "seal of 1 GiB takes at most twice the processor time of its cipher in OpenSSL",
            found: format!("x {ratio:.2}"),
            is_met: ratio <= RATIO,
        });
        requirements
    }

    /// How many times as long as its cipher alone the large one takes.
    fn ratio(&self) -> f64 {
        median(self.stream.iter().map(|(ours, cipher)| ours / cipher).collect())
    }

    /// As text.
    pub fn text(&self) -> String {
        let header = ["", "commands", "keys made", "bus bytes", "wall time", "secret on the bus"];
        let mut lines = vec![header.map(str::to_owned).to_vec()];
        let mut not = String::new();
        for (job, title) in JOBS.into_iter().enumerate() {
            let ours = self.sealed.first().and_then(|ours| ours.figures.as_ref().ok());
            for sealed in &self.sealed {
                match &sealed.figures {
                    Err(why) if job == 0 => not.push_str(&format!("not measured: {}: {why}\n", sealed.name)),
                    Err(_) => {}
                    Ok(all) => {
                        let (figures, clear) = &all[job];
                        lines.push(vec![
                            format!("{title}, {}", sealed.name),
                            figures.record.len().to_string(),
                            figures.key_generations().to_string(),
                            grouped(figures.bytes() as u64),
                            format!("x {:.1}", ours.map_or(f64::NAN, |ours| figures.wall_ratio(&ours[job].0))),
                            if *clear { "in clear" } else { "encrypted" }.to_owned(),
                        ]);
                    }
                }
            }
        }
        format!(
            "\nA secret of {} bytes, sealed to PCR 7 (medians of {ROUNDS} rounds):\n{}{not}\
             1 GiB sealed: {:.2} of the processor time that AES-256-GCM alone takes OpenSSL\n",
            SECRET.len(),
            aligned(&lines),
            self.ratio()
        )
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let job = |all: &[(Figures, bool); 2], job: usize| {
            let (figures, clear) = &all[job];
            json!({
                "tpm_commands": figures.record.len(),
                "key_generations": figures.key_generations(),
                "bus_bytes": figures.bytes(),
                "seconds": median(figures.wall.clone()),
                "in_clear": clear,
            })
        };
        let row = |sealed: &Sealed| match &sealed.figures {
            Err(why) => json!({ "name": sealed.name, "not_measured": why }),
            Ok(all) => json!({ "name": sealed.name, "seal": job(all, 0), "unseal": job(all, 1) }),
        };
        json!({ "sealers": self.sealed.iter().map(row).collect::<Vec<_>>(), "stream_ratio": self.ratio() })
    }
}

fn number(count: Option<usize>) -> String {
    count.map_or_else(|| "none".into(), |count| count.to_string())
}

/// Seals and unseals in turns, each in a boot of its own.
fn measure(machine: &Machine, sealer: &Sealer) -> Result<Sealed> {
    let program = sealer.seal.split(' ').next().unwrap_or_default();
    if program.starts_with("systemd") && sh::find(program).is_none() {
        return Ok(Sealed { name: sealer.name, figures: Err(format!("{program} is not installed")) });
    }
    let mut search = SecretSearch::new();
    search.add("secret", SECRET.as_bytes());
    let mut all = [(Figures::default(), false), (Figures::default(), false)];
    for _ in 0..ROUNDS {
        for (script, (figures, clear)) in [sealer.seal, sealer.unseal].into_iter().zip(&mut all) {
            machine.tpm.reboot();
            machine.tpm.extend_pcr7(&Boot::Production.event());
            let wire = machine.tpm.tools().wire();
            if sealer.name == "tpm2-tools" {
                manage_resources(wire, &machine.tpm);
            }
            wire.take();
            let run = machine.sandbox.run(&Probe::Wall.script(script));
            let bytes = wire.bytes();
            let record = wire.take();
            wire.be_honest();
            if !run.announced && sealer.name == "systemd-creds" {
                let why = run.stderr.lines().last().unwrap_or_default().to_owned();
                return Ok(Sealed { name: sealer.name, figures: Err(why) });
            }
            ensure!(run.announced, "{} failed:\n{}{}", sealer.name, run.stdout, run.stderr);
            Probe::Wall.read(&run, &machine.sandbox.dir(), record, figures)?;
            *clear |= !search.found(&bytes).is_empty();
        }
    }
    Ok(Sealed { name: sealer.name, figures: Ok(all) })
}

/// Seconds of the processor that sealing the large one takes, and its cipher alone, as fast as OpenSSL is.
fn stream() -> Result<(f64, f64)> {
    let host = HostTpm::new(harness::Banks::Sha256);
    fs::File::create(host.file("large"))?.set_len(LARGE)?;
    let trust = host.command(&["seal", "--pcr", "7", "large"]);
    let mut time = Command::new("/usr/bin/time");
    time.args(["--format=%U %S", "--output=cost"]).arg(trust.get_program()).args(trust.get_args());
    let status = time.current_dir(host.file("")).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "trust seal failed");
    let cost = String::from_utf8(host.read("cost"))?;
    let ours = cost.split_whitespace().map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    let size = CHUNK.to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["speed", "-mr", "-seconds", "2", "-bytes", &size, "-evp", "aes-256-gcm"]);
    let output = openssl.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    // Bytes in a second come last: `+F:22:AES-256-GCM:3203334144.00`.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let speed = text.lines().find(|line| line.starts_with("+F:")).and_then(|line| line.rsplit(':').next());
    let speed: f64 = speed.with_context(|| format!("openssl says {text}"))?.trim().parse()?;
    Ok((ours, LARGE as f64 / speed))
}
