//! What says that there is a TPM 2.0, and which module drives it.

use super::{Absence, Surroundings};
use std::fs;

/// How the firmware says that the TPM is reached: `StartMethod` of the ACPI table TPM2 (TCG ACPI Specification, table 7).
pub(super) const START_METHOD_AT: usize = 48;
/// Where the firmware has set places for a TPM, ACPI's name for one of version 2.0.
const ACPI_TPM2: &str = "MSFT0101";
/// Names of TPMs 1.2.
pub(super) const ACPI_TPM12: [&str; 7] = ["PNP0C31", "ATM1200", "IFX0102", "BCM0101", "BCM0102", "NSC1200", "ICO0102"];
/// Devices that are TPMs, as buses and device trees name them (part of the name), and their modules.
const DEVICES_OF_BUSES: [(&str, &str); 12] = [
    ("tcg,tpm_tis-spi", "tpm_tis_spi"),
    ("tcg,tpm-tis-mmio", "tpm_tis"),
    ("tcg,tpm-tis-i2c", "tpm_tis_i2c"),
    ("infineon,slb9670", "tpm_tis_spi"),
    ("infineon,slb9672", "tpm_tis_spi"),
    ("infineon,slb9673", "tpm_tis_i2c"),
    ("st,st33htpm-spi", "tpm_tis_spi"),
    ("st,st33tphf2e-i2c", "tpm_tis_i2c"),
    ("nuvoton,npct75x", "tpm_tis_i2c"),
    ("google,cr50", "tpm_tis_spi"),
    ("microsoft,ftpm", "tpm_ftpm_tee"),
    ("ibm,vtpm", "tpm_ibmvtpm"),
];
/// The name under which OP-TEE shows the firmware TPM of Microsoft's.
const FTPM_OF_TEE: &str = "bc50d971-d4c9-42c4-82cb-343fb7f37896";

impl Surroundings<'_> {
    /// What says that there is a TPM 2.0, and the module that drives it.
    pub(super) fn hardware(&self) -> Option<(String, &'static str)> {
        if let Some(found) = self.on_a_bus() {
            return Some(found);
        }
        let table = fs::read(self.path("sys/firmware/acpi/tables/TPM2")).ok();
        let method = table.as_deref().and_then(start_method);
        let is_named = self.acpi_device(&[ACPI_TPM2]).is_some();
        if !is_named && !self.exists("sys/firmware/acpi/tables/TPM2") {
            return None;
        }
        let module = match method {
            // Memory mapped.
            Some(6) => "tpm_tis",
            // Command response buffers, however they are started.
            Some(2 | 7 | 8 | 11 | 13 | 15) => "tpm_crb",
            // Only root may read the table.
            _ => "tpm_crb or tpm_tis",
        };
        let place = if is_named { "ACPI device MSFT0101" } else { "ACPI table TPM2" };
        Some((place.to_owned(), module))
    }

    /// TPMs on SPI, I²C and the like, or in a trusted execution environment.
    fn on_a_bus(&self) -> Option<(String, &'static str)> {
        let named = |names: &str| {
            let names = names.to_ascii_lowercase();
            DEVICES_OF_BUSES
                .iter()
                .find(|(name, _)| names.contains(name))
                .map(|(name, module)| ((*name).to_owned(), *module))
        };
        for bus in ["spi", "i2c", "platform", "vio"] {
            let dir = format!("sys/bus/{bus}/devices");
            for device in self.names(&dir) {
                let compatible = self.text(&format!("{dir}/{device}/of_node/compatible"));
                // ACPI's devices have their name in the modalias, with the bus's module.
                let modalias = self.text(&format!("{dir}/{device}/modalias"));
                if bus == "spi" && modalias.contains("SMO0768") {
                    return Some((format!("{device} on the bus spi"), "tpm_tis_spi"));
                }
                if let Some((name, module)) = named(&compatible).or_else(|| named(&modalias)) {
                    return Some((format!("{device} on the bus {bus}, {name}"), module));
                }
            }
        }
        let tee = self.names("sys/bus/tee/devices").into_iter().find(|name| name.contains(FTPM_OF_TEE));
        tee.map(|device| (format!("{device} on the bus tee"), "tpm_ftpm_tee"))
    }

    /// The first device of ACPI with one of these names that is present.
    pub(super) fn acpi_device(&self, names: &[&str]) -> Option<String> {
        const IS_PRESENT: u32 = 1;
        let dir = "sys/bus/acpi/devices";
        let is_present = |device: &String| {
            let status = self.text(&format!("{dir}/{device}/status"));
            // Where there is no status, it is.
            status.parse::<u32>().map_or(true, |status| status & IS_PRESENT != 0)
        };
        let is_one = |device: &String| names.iter().any(|name| device.split(':').next() == Some(name));
        self.names(dir).into_iter().filter(is_one).find(is_present)
    }

    pub(super) fn without_driver(&self, how: String, modules: &str) -> Absence {
        let release = self.text("proc/sys/kernel/osrelease");
        let is_running = |module: &str| self.exists(&format!("sys/module/{module}"));
        let listed = |file: &str, module: &str| {
            // File names have either.
            let list = self.text(&format!("lib/modules/{release}/{file}"));
            let names = [format!("/{module}.ko"), format!("/{}.ko", module.replace('_', "-"))];
            names.iter().any(|name| list.contains(name.as_str()))
        };
        let any = |is: &dyn Fn(&str) -> bool| modules.split(" or ").any(is);
        if any(&|module| is_running(module) || listed("modules.builtin", module)) {
            let why = format!("there is a TPM 2.0 ({how}), and its driver {modules} has not started it");
            return Absence::new(why, "see why: dmesg | grep -i tpm; an update of the firmware may help");
        }
        let why = format!("there is a TPM 2.0 ({how}), and its driver is not loaded: {modules}");
        if any(&|module| listed("modules.dep", module)) {
            let commands: Vec<_> = modules.split(" or ").map(|module| format!("modprobe {module}")).collect();
            return Absence::new(why, format!("load it: {}; in an initrd, have it included", commands.join(" or ")));
        }
        Absence::new(
            why,
            "use a kernel, or an initrd, with this module; `trust launch` and mkosi.conf.d have it included",
        )
    }
}

/// `StartMethod` of the table.
fn start_method(table: &[u8]) -> Option<u32> {
    let field = table.get(START_METHOD_AT..)?.first_chunk()?;
    table.starts_with(b"TPM2").then(|| u32::from_le_bytes(*field))
}
