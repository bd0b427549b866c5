//! Who makes TPMs: the TCG TPM Vendor ID Registry, and vendors of virtual TPMs that it does not list. Pure.

/// Identifiers as `TPM_PT_MANUFACTURER` has them, without what they are padded with, and the names of the companies.
const VENDORS: [(&str, &str); 31] = [
    ("AMD", "AMD"),
    ("AMZN", "Amazon"),
    ("ANT", "Ant Group"),
    ("ATML", "Atmel"),
    ("BRCM", "Broadcom"),
    ("CSCO", "Cisco"),
    ("FLYS", "Flyslice"),
    ("GOOG", "Google"),
    ("HISI", "Huawei"),
    ("HPE", "Hewlett Packard Enterprise"),
    ("HPI", "HP"),
    ("IBM", "IBM"),
    ("IFX", "Infineon"),
    ("INTC", "Intel"),
    ("LEN", "Lenovo"),
    ("MSFT", "Microsoft"),
    ("NSG", "NSING"),
    ("NSM", "National Semiconductor"),
    ("NTC", "Nuvoton"),
    ("NTZ", "Nationz"),
    ("QCOM", "Qualcomm"),
    ("ROCC", "Rockchip"),
    ("SEAL", "Wisekey"),
    ("SECE", "SecEdge"),
    ("SMSC", "SMSC"),
    ("SMSN", "Samsung"),
    ("SNS", "Sinosun"),
    ("STM", "STMicroelectronics"),
    ("TXN", "Texas Instruments"),
    ("VMW", "VMware"),
    ("WEC", "Winbond"),
];

/// The name of the company with this identifier.
#[must_use]
pub fn name(id: &str) -> Option<&'static str> {
    VENDORS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// What the TPM is, where identifier and model tell that it is not a chip.
#[must_use]
pub fn remark(id: &str, model: &str) -> Option<&'static str> {
    match (id, model) {
        ("IBM", model) if model.starts_with("SW") => Some("a software TPM (swtpm)"),
        ("IBM", _) => Some("a software TPM"),
        ("MSFT" | "VMW" | "AMZN" | "GOOG", _) => Some("a virtual TPM"),
        ("INTC" | "AMD" | "QCOM", _) => Some("in the processor's firmware"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_sorted_and_fit_their_four_bytes() {
        assert!(VENDORS.is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(VENDORS.iter().all(|(id, _)| (3..=4).contains(&id.len())));
        assert_eq!((name("IFX"), name("ifx"), name("")), (Some("Infineon"), None, None));
    }
}
