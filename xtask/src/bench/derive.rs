//! What a derived key costs: from the command, from the service, and by a script of tpm2-tools that derives the same, on the
//! same software TPM, whose owner has no password.

use super::{
    candidates::manage_resources,
    latency::Models,
    measure::Figures,
    section::{Requirement, Section, Unit},
};
use anyhow::{Context, Result, ensure};
use harness::{Banks, Exchange, HostTpm, SecretSearch, cc};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often each derives.
const ROUNDS: usize = 20;
/// Keys that the service is asked for, by one caller and by several.
const KEYS: usize = 200;
const CALLERS: usize = 20;
/// As docs/derived-keys.md has it.
const TOOLS: &str = "tpm2_createprimary -Q -C o -g sha256 -G hmac:sha256 -u unique -c primary.ctx \
                     -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' && \
                     tpm2_hmac -c primary.ctx message";

/// One way to a key.
struct Way {
    name: &'static str,
    /// What crossed the wire for all of them.
    record: Vec<Exchange>,
    /// How many.
    keys: usize,
    /// How long each took, or all of them on average, in seconds.
    seconds: Vec<f64>,
    /// Whether a key was in clear on the bus.
    is_clear: bool,
}

/// Derives.
pub fn run(models: &Models) -> Result<Vec<Section>> {
    let machine = HostTpm::new(Banks::Sha256);
    machine.keep_storage_root_key();
    machine.write("unique", [&5_u16.to_le_bytes()[..], b"trust"].concat());
    let uid = machine.ok(&["derive", "label=bench"]);
    let mut search = SecretSearch::new();
    search.add("key", &uid);
    let ways = [
        by_service(&machine, &search, "trust, service", 1)?,
        by_service(&machine, &search, "trust, 20 callers", CALLERS)?,
        by_command(&machine, &search)?,
        by_tools(&machine, &uid, &search)?,
    ];
    Ok(vec![section(&ways, models)])
}

fn section(ways: &[Way; 4], models: &Models) -> Section {
    let each = |figure: fn(&Way) -> f64| ways.iter().map(figure);
    let per_key = |figure: fn(&Figures) -> f64| {
        ways.iter().map(move |way| {
            let figures = Figures { record: way.record.clone(), ..Figures::default() };
            figure(&figures) / way.keys as f64
        })
    };
    let section = Section::new("derive", "A derived key of 32 bytes", ways.iter().map(|way| way.name))
        .figure("TPM commands", Unit::Count, per_key(|figures| figures.record.len() as f64))
        .figure("bytes on the bus", Unit::Bytes, per_key(|figures| figures.bytes() as f64))
        .rounds("wall time", Unit::Seconds, ways.iter().map(|way| way.seconds.clone()))
        .figure("key on the bus", Unit::Clear, each(|way| f64::from(u8::from(way.is_clear))));
    let section = models.figures(section, ways.iter().map(|way| (&way.record[..], way.keys)));
    let commands = |way: usize| section.figures[0].value(way).unwrap_or(f64::NAN);
    let few = |demand, way, most: f64| Requirement::new(demand, format!("{:.2}", commands(way)), commands(way) <= most);
    let times = section.figures[2].times(3).unwrap_or_default();
    let is_secret = !ways[..3].iter().any(|way| way.is_clear);
    let requirements = [
        few("a key from the service takes one TPM command", 0, 1.1),
        few("a key from `trust derive` takes at most 6 TPM commands", 2, 6.0),
        Requirement::new(
            "the service gives keys faster than a script of tpm2-tools",
            format!("x {times:.0}"),
            times > 1.0,
        ),
        Requirement::new("nothing of a key in clear on the bus", if is_secret { "nothing" } else { "some" }, is_secret),
    ];
    section.require(requirements)
}

/// A service that is killed in the end.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(machine: &HostTpm, keys: usize) -> Result<()> {
    let mut stream = UnixStream::connect(machine.file("socket"))?;
    for _ in 0..keys {
        stream.write_all(b"{\"method\":\"trust.derive.Key\",\"parameters\":{\"mode\":\"label=bench\"}}\0")?;
        let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(&[0]) {
            let size = stream.read(&mut piece)?;
            ensure!(size > 0, "the service has ended the connection");
            answer.extend(&piece[..size]);
        }
        ensure!(String::from_utf8_lossy(&answer).contains("\"key\""), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

fn by_service(machine: &HostTpm, search: &SecretSearch, name: &'static str, callers: usize) -> Result<Way> {
    let mut command = machine.command(&["derive", "serve", "--socket", "socket"]);
    let service = Service(command.stderr(Stdio::null()).spawn()?);
    let start = Instant::now();
    while UnixStream::connect(machine.file("socket")).is_err() {
        ensure!(start.elapsed() < Duration::from_secs(60), "the service does not start");
        thread::sleep(Duration::from_millis(5));
    }
    ask(machine, 1)?;
    machine.wire.take();
    let start = Instant::now();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..callers).map(|_| scope.spawn(|| ask(machine, KEYS / callers))).collect();
        asking.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    let seconds = start.elapsed().as_secs_f64() / KEYS as f64;
    let is_clear = !search.found(&machine.wire.bytes()).is_empty();
    let record = machine.wire.take();
    drop(service);
    fs::remove_file(machine.file("socket"))?;
    // The TPM has been left with what the service held.
    machine.tpm.reboot();
    Ok(Way { name, record, keys: KEYS, seconds: vec![seconds], is_clear })
}

fn by_command(machine: &HostTpm, search: &SecretSearch) -> Result<Way> {
    machine.wire.take();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let _ = machine.ok(&["derive", "label=bench"]);
        times.push(start.elapsed().as_secs_f64());
    }
    let is_clear = !search.found(&machine.wire.bytes()).is_empty();
    let record = machine.wire.take();
    Ok(Way { name: "trust derive", record, keys: ROUNDS, seconds: times, is_clear })
}

fn by_tools(machine: &HostTpm, key: &[u8], search: &SecretSearch) -> Result<Way> {
    let uid = fs::metadata("/proc/self").map(|found| std::os::unix::fs::MetadataExt::uid(&found))?;
    let numbers = [uid, 1, 5].map(u32::to_be_bytes).concat();
    machine.write("message", [b"trust derived key 1\0label\0", &numbers[..], b"bench"].concat());
    let wire = machine.tpm.tools().wire();
    manage_resources(wire, &machine.tpm);
    wire.take();
    let (mut times, mut record, mut is_clear) = (Vec::new(), Vec::new(), false);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-ec", TOOLS]).current_dir(machine.file("")).env("TPM2TOOLS_TCTI", machine.tpm.tools().tcti());
        let output = shell.output().context("no shell")?;
        times.push(start.elapsed().as_secs_f64());
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.stdout == key, "tpm2-tools derive another key");
        is_clear |= !search.found(&wire.bytes()).is_empty();
        record.extend(wire.take());
    }
    wire.be_honest();
    debug_assert!(record.iter().any(|exchange| exchange.command.code() == cc::HMAC));
    Ok(Way { name: "tpm2-tools", record, keys: ROUNDS, seconds: times, is_clear })
}
