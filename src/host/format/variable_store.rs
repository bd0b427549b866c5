//! The variable store of EDK II, as OVMF keeps it in a flash image.
