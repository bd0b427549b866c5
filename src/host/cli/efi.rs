//! `trust sign efi`, `trust verify efi`.
