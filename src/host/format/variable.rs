//! UEFI variables: names, attributes, `UEFI_VARIABLE_DATA` (TCG PC Client Platform Firmware Profile, section 10.2.6).
