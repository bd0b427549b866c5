//! Unified kernel images: built, measured, looked into (UAPI.5 Unified Kernel Image).
