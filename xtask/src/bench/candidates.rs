//! The candidates of the benchmark, and the machine that they run on.

use super::{
    latency::Models,
    measure::{Figures, Probe},
    requirements,
    section::{Section, Unit},
};
use crate::sh;
use anyhow::{Context, Result, ensure};
use harness::{Action, Boot, Identity, Interposer, Machine, Sandbox, State, Swtpm, cc};
use std::fs;

/// One way to get a boot's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// `trust-initrd setup`.
    Ours,
    /// The tpm2-tools calls of the tool before this one.
    Tools,
    /// Clevis' tpm2 pin.
    Clevis,
    /// systemd-creds.
    Creds,
}

impl Candidate {
    /// All of them, ours first.
    pub const ALL: [Self; 4] = [Self::Ours, Self::Tools, Self::Clevis, Self::Creds];

    /// What the table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "trust setup",
            Self::Tools => "tpm2-tools",
            Self::Clevis => "clevis",
            Self::Creds => "systemd-creds",
        }
    }

    /// What it does.
    pub const fn job(self) -> &'static str {
        match self {
            Self::Ours => "certificate, key and passphrase read, PCR 7 locked and proven, all published",
            Self::Tools => "the same three secrets read and PCR 7 extended by a shell; no proof, nothing published",
            Self::Clevis => "one passphrase, bound to PCR 7 (pcr_ids 7), on a TPM whose owner has no password; no lock",
            Self::Creds => "one passphrase, bound to PCR 7, on a TPM whose owner has no password; no lock",
        }
    }

    const fn wants_no_owner(self) -> bool {
        matches!(self, Self::Clevis | Self::Creds)
    }

    /// How a shell on the machine calls it.
    const fn command(self) -> &'static str {
        match self {
            Self::Ours => r#""$TRUST" setup --tcti "$TPM2TOOLS_TCTI" --pcr7data "$PCR7DATA" --on-lock-failure=exit"#,
            Self::Tools => "sh /sandbox/tools.sh",
            Self::Clevis => "sh -c 'clevis decrypt </sandbox/passphrase.jwe'",
            Self::Creds => {
                r#"systemd-creds decrypt --tpm2-device="$TPM2TOOLS_TCTI" --name=passphrase /sandbox/passphrase.creds -"#
            }
        }
    }
}

/// How often each candidate runs for its wall time.
const ROUNDS: usize = 5;

/// What was measured of a candidate, or why nothing was.
pub type Row = (Candidate, Result<Figures, String>);

/// Measures all of them.
pub fn run(models: &Models) -> Result<Vec<Section>> {
    let rows = Stage::new().measure(ROUNDS)?;
    Ok(vec![section(&rows, models)?.require(requirements::check(&rows)?)])
}

fn section(rows: &[Row], models: &Models) -> Result<Section> {
    let measured: Vec<_> = rows.iter().filter_map(|(candidate, row)| Some((candidate, row.as_ref().ok()?))).collect();
    let each =
        |figure: fn(&Figures) -> f64| measured.iter().map(move |(_, figures)| figure(figures)).collect::<Vec<_>>();
    let wall = measured.iter().map(|(_, figures)| figures.wall.clone());
    let instructions =
        |figures: &Figures| figures.instructions.map(|found| vec![found.count as f64]).unwrap_or_default();
    let mut section = Section::new("setup", "The secrets of one boot", measured.iter().map(|(row, _)| row.name()))
        .figure("TPM commands", Unit::Count, each(|figures| figures.record.len() as f64))
        .figure("keys made", Unit::Count, each(|figures| figures.key_generations() as f64))
        .figure("bytes on the bus", Unit::Bytes, each(|figures| figures.bytes() as f64))
        .figure("processes", Unit::Count, each(|figures| figures.processes as f64))
        .figure("system calls", Unit::Count, each(|figures| figures.calls as f64))
        .rounds("instructions", Unit::Count, measured.iter().map(|(_, figures)| instructions(figures)))
        .rounds("wall time", Unit::Seconds, wall)
        .figure("memory", Unit::Bytes, each(|figures| figures.peak as f64 * 1024.0))
        .figure("in the initrd", Unit::Bytes, each(|figures| figures.footprint as f64));
    section = models.figures(section, measured.iter().map(|(_, figures)| (&figures.record[..], 1)));
    for program in &mut section.programs {
        let candidate = Candidate::ALL.into_iter().find(|candidate| candidate.name() == program.name);
        program.job = candidate.map(Candidate::job).unwrap_or_default().to_owned();
    }
    for (candidate, row) in rows {
        match row {
            Err(why) => section = section.note(format!("{} was not measured: {why}", candidate.name())),
            Ok(figures) if figures.instructions.is_some_and(|count| !count.whole) => {
                let what = "the instructions end at a system call that this valgrind does not know";
                section = section.note(format!("{}: {what}", candidate.name()));
            }
            Ok(_) => {}
        }
    }
    Ok(section)
}

/// The calls of the Go tool that this project replaces, in its order. Its TPM
/// was `/dev/tpmrm0`: the flushing of keys is the kernel's business.
const TOOLS: &str = include_str!("tools.sh");

/// A machine with one TPM, in the states in which the candidates want it.
pub struct Stage {
    machine: Machine,
    unowned: State,
    provisioned: State,
    /// Why systemd-creds cannot be measured, if it cannot.
    creds: Result<(), String>,
}

impl Stage {
    /// Provisions: a certificate of 1300 and a key of 1704 bytes, a passphrase of 40. A software TPM's NV buffer has 1024.
    pub fn new() -> Self {
        let identity = Identity::ec("P-256").padded_to(1300, 1704);
        let mut machine = Machine::with(Swtpm::new(), identity);
        let tcti = machine.tpm.tools().tcti();
        machine.sandbox.set("TPM2TOOLS_TCTI", tcti);
        fs::write(machine.sandbox.dir().join("tools.sh"), TOOLS).expect("a writable directory");

        // Neither of the two can use a TPM whose owner has a password.
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        let bind = r#"printf 0123456789abcdef0123456789abcdef01234567 >/sandbox/passphrase
            clevis encrypt tpm2 '{"pcr_bank":"sha256","pcr_ids":"7"}' </sandbox/passphrase >/sandbox/passphrase.jwe"#;
        machine.sandbox.run(bind).ok();
        let creds = bind_creds(&machine.sandbox);
        machine.tpm.off();
        let unowned = machine.tpm.state();

        machine.tpm.boot();
        machine.provision();
        machine.tpm.off();
        let provisioned = machine.tpm.state();
        Self { machine, unowned, provisioned, creds }
    }

    /// Measures all candidates: in `rounds` rounds for the wall time, so that a disturbance affects all of them.
    pub fn measure(&self, rounds: usize) -> Result<Vec<Row>> {
        let empty = |candidate| match candidate {
            Candidate::Creds => self.creds.clone().map(|()| Figures::default()),
            _ => Ok(Figures::default()),
        };
        let mut rows: Vec<Row> = Candidate::ALL.map(|candidate| (candidate, empty(candidate))).into();
        for _ in 0..rounds {
            for (candidate, figures) in &mut rows {
                if let Ok(figures) = figures {
                    self.run(*candidate, Probe::Wall, figures)?;
                }
            }
        }
        for (candidate, figures) in &mut rows {
            if let Ok(figures) = figures {
                for probe in [Probe::Peak, Probe::Calls, Probe::Instructions] {
                    self.run(*candidate, probe, figures)?;
                }
            }
        }
        Ok(rows)
    }

    /// One boot of one candidate: the TPM restarted in the state that it was provisioned in.
    fn run(&self, candidate: Candidate, probe: Probe, figures: &mut Figures) -> Result<()> {
        let Machine { tpm, sandbox, .. } = &self.machine;
        tpm.restore(if candidate.wants_no_owner() { &self.unowned } else { &self.provisioned });
        tpm.boot();
        tpm.extend_pcr7(&Boot::Production.event());
        let wire = tpm.tools().wire();
        if candidate == Candidate::Tools {
            manage_resources(wire, tpm);
        }
        wire.take();
        let run = sandbox.run(&probe.script(candidate.command()));
        let record = wire.take();
        wire.be_honest();
        ensure!(run.announced, "{} failed:\n{}{}", candidate.name(), run.stdout, run.stderr);
        probe
            .read(&run, &sandbox.dir(), record, figures)
            .with_context(|| format!("cannot measure {} ({probe:?})", candidate.name()))
    }
}

/// Makes a credential, or says why it cannot: systemd does not accept every TPM.
fn bind_creds(sandbox: &Sandbox) -> Result<(), String> {
    if sh::find("systemd-creds").is_none() {
        return Err("systemd-creds is not installed".into());
    }
    let options = "--with-key=tpm2 --tpm2-pcrs=7 --name=passphrase";
    let run = sandbox.run(&format!(
        r#"systemd-creds encrypt {options} --tpm2-device="$TPM2TOOLS_TCTI" /sandbox/passphrase /sandbox/passphrase.creds"#
    ));
    if run.announced {
        return Ok(());
    }
    Err(format!("systemd-creds cannot use this TPM: {}", run.stderr.lines().last().unwrap_or_default()))
}

/// Does what the kernel does behind `/dev/tpmrm0`, past the record: the objects
/// of a process that has ended are flushed. No tool here needs two.
pub fn manage_resources(wire: &Interposer, tpm: &Swtpm) {
    const CONTEXT_LOAD: u32 = 0x161;
    const TRANSIENT: u32 = 0x8000_0000;
    const SLOTS: u32 = 3;
    let raw = tpm.raw();
    wire.on_command(move |command| {
        if [CONTEXT_LOAD, cc::CREATE_PRIMARY, cc::LOAD_EXTERNAL].contains(&command.code()) {
            for handle in TRANSIENT..TRANSIENT + SLOTS {
                let header = [0x80, 0x01, 0, 0, 0, 14];
                let flush = [&header[..], &cc::FLUSH_CONTEXT.to_be_bytes(), &handle.to_be_bytes()].concat();
                // A handle of nothing is an error, and nothing to flush.
                let _ = raw.send(&flush);
            }
        }
        Action::Forward
    });
}
