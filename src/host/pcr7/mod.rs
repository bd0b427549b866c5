//! PCR 7 of the boots of a keyset: what a firmware, and a shim, measure before they start its images.
