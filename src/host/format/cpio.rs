//! cpio archives, "newc", as the kernel unpacks them (Documentation/driver-api/early-userspace/buffer-format.rst).
