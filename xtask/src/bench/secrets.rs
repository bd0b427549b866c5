//! What it costs to seal a secret to a PCR and to open it again, beside tpm2-tools and systemd-creds on the same software
//! TPM, whose owner has no password; and a large one, beside the cipher alone.

use super::{
    candidates::manage_resources,
    cost::Costs,
    latency::Models,
    measure::{Figures, Probe},
    section::{Requirement, Section, Unit},
};
use crate::sh;
use anyhow::{Context, Result, ensure};
use harness::{Boot, HostTpm, Identity, Machine, SecretSearch, Swtpm};
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

/// The two jobs of a [`Sealer`], and what was done to the secret by them.
const JOBS: [(&str, &str); 2] = [("seal", "sealed to"), ("unseal", "opened by")];

/// What a program costs, for each of [`JOBS`], and whether the secret was in clear on the bus; or why nothing was measured.
type Sealed = Result<[(Figures, bool); 2], String>;

/// Runs all of them.
pub fn run(models: &Models) -> Result<Vec<Section>> {
    let mut machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.sandbox.set("TPM2TOOLS_TCTI", machine.tpm.tools().tcti());
    machine.sandbox.set("TRUST_HOST", harness::trust_host().display().to_string());
    fs::write(machine.sandbox.dir().join("secret"), SECRET)?;
    let measured = |sealer: &Sealer| Ok((sealer.name, measure(&machine, sealer)?));
    let sealed: Vec<_> = SEALERS.iter().map(measured).collect::<Result<_>>()?;
    let mut sections: Vec<_> = (0..JOBS.len()).map(|job| section(&sealed, job, models)).collect();
    sections.push(stream()?);
    Ok(sections)
}

/// What one job costs all of them.
fn section(sealed: &[(&str, Sealed)], job: usize, models: &Models) -> Section {
    let (name, done) = JOBS[job];
    let all = sealed.iter().filter_map(|(name, found)| Some((*name, &found.as_ref().ok()?[job])));
    let measured: Vec<_> = all.collect();
    let each =
        |figure: fn(&Figures) -> f64| measured.iter().map(move |(_, (figures, _))| figure(figures)).collect::<Vec<_>>();
    let title = format!("A secret of {} bytes, {done} PCR 7", SECRET.len());
    let clear = || measured.iter().map(|(_, (_, is_clear))| f64::from(u8::from(*is_clear)));
    let section = Section::new(&format!("secrets-{name}"), title, measured.iter().map(|(name, _)| *name))
        .figure("TPM commands", Unit::Count, each(|figures| figures.record.len() as f64))
        .figure("keys made", Unit::Count, each(|figures| figures.key_generations() as f64))
        .figure("bytes on the bus", Unit::Bytes, each(|figures| figures.bytes() as f64))
        .rounds("wall time", Unit::Seconds, measured.iter().map(|(_, (figures, _))| figures.wall.clone()))
        .figure("secret on the bus", Unit::Clear, clear());
    let mut section = models.figures(section, measured.iter().map(|(_, (figures, _))| (&figures.record[..], 1)));
    for (name, found) in sealed {
        if let Err(why) = found {
            section = section.note(format!("{name} was not measured: {why}"));
        }
    }
    let commands = |at: usize| section.figures[0].value(at);
    let is_ours = section.programs.first().is_some_and(|program| program.name == SEALERS[0].name);
    let others = (1..measured.len()).filter(|at| !measured[*at].1.1).filter_map(commands);
    let least = others.min_by(f64::total_cmp);
    let ours = if is_ours { commands(0) } else { None };
    let number = |count: Option<f64>| count.map_or_else(|| "none".into(), |count| Unit::Count.text(count));
    let fewest = Requirement::new(
        format!("{name} sends the fewest TPM commands of those that encrypt them"),
        format!("{} and {}", number(ours), number(least)),
        ours.is_some_and(|ours| least.is_none_or(|least| ours <= least)),
    );
    let is_secret = is_ours && !measured[0].1.1;
    let found = if is_secret { "nothing" } else { "some" };
    let secret = Requirement::new(format!("{name}: nothing of the secret in clear on the bus"), found, is_secret);
    section.require([fewest, secret])
}

/// Seals and unseals in turns, each in a boot of its own.
fn measure(machine: &Machine, sealer: &Sealer) -> Result<Sealed> {
    let program = sealer.seal.split(' ').next().unwrap_or_default();
    if program.starts_with("systemd") && sh::find(program).is_none() {
        return Ok(Err(format!("{program} is not installed")));
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
                return Ok(Err(why));
            }
            ensure!(run.announced, "{} failed:\n{}{}", sealer.name, run.stdout, run.stderr);
            Probe::Wall.read(&run, &machine.sandbox.dir(), record, figures)?;
            *clear |= !search.found(&bytes).is_empty();
        }
    }
    Ok(Ok(all))
}

/// A large one, beside its cipher alone, as fast as OpenSSL is.
fn stream() -> Result<Section> {
    let (mut costs, mut cipher) = (Costs::default(), Vec::new());
    let host = HostTpm::new(harness::Banks::Sha256);
    fs::File::create(host.file("large"))?.set_len(LARGE)?;
    // The kernel has it in memory from here on: nothing is read from a disk, nor written.
    std::io::copy(&mut fs::File::open(host.file("large"))?, &mut std::io::sink())?;
    let seal = host.command(&["seal", "--pcr", "7"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <large >/dev/null"]).arg(seal.get_program()).args(seal.get_args());
    shell.current_dir(host.file(""));
    for _ in 0..STREAM_ROUNDS {
        costs.add(&shell, Stdio::null(), 0)?;
        cipher.push(LARGE as f64 / cipher_speed()?);
    }
    let memory = [vec![costs.peak()], Vec::new()];
    let section = Section::new("secrets-large", "A file of 1 GiB, sealed", ["trust seal", "AES-256-GCM alone"])
        .rounds("processor time", Unit::Seconds, [costs.processor, cipher])
        .rounds("memory", Unit::Bytes, memory);
    let ratio = section.figures[0].times(1).map_or(f64::NAN, |times| 1.0 / times);
    let demand = "seal of 1 GiB takes at most twice the processor time of its cipher in OpenSSL";
    Ok(section.require([Requirement::new(demand, format!("x {ratio:.2}"), ratio <= RATIO)]))
}

/// Bytes in a second.
fn cipher_speed() -> Result<f64> {
    let size = CHUNK.to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["speed", "-mr", "-seconds", "2", "-bytes", &size, "-evp", "aes-256-gcm"]);
    let output = openssl.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    // They come last: `+F:22:AES-256-GCM:3203334144.00`.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let speed = text.lines().find(|line| line.starts_with("+F:")).and_then(|line| line.rsplit(':').next());
    Ok(speed.with_context(|| format!("openssl says {text}"))?.trim().parse()?)
}
