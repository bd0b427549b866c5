# What all guests have: how long the images are that are on the disks, where the logs are.
log=/run/log/systemd/tpm2-measure.log
ima=/sys/kernel/security/ima
head -c 512 /dev/vde >/settings
. /settings

# kexec_file_load of a signed kernel with an initrd and a command line that nobody has signed.
load_own() {
    head -c $kernel /dev/vdg >/kernel
    head -c $own /dev/vdh >/own
    perl -e 'open K, "</kernel"; open I, "</own"; $c = "'"$own_cmdline"'"; syscall(320, fileno K, fileno I, 1 + length $c, $c, 0) and die $!'
}
# kexec --exec: reboot(LINUX_REBOOT_CMD_KEXEC).
start_loaded() {
    say goes
    perl -e 'syscall(169, 0xfee1dead, 672274793, 0x45584543)'
}

pcr() { $host pcr read "sha256:$1" | tail -c 65; }
# What the kernel has found, and more for IMA to measure: its policy can be written once.
ima_begins() {
    say "found-$1" $($host pcr read --json sha256:0,1,2,3,4,5,6,7,8,9)
    printf 'measure func=%s\n' KEXEC_CMDLINE KEXEC_KERNEL_CHECK KEY_CHECK CRITICAL_DATA >$ima/policy
}
ima_tells() {
    say "ima-$1" $(base64 $ima/binary_runtime_measurements | tr -d '\n')
    say "pcr10-$1" $(pcr 10)
    say "ima-names-$1" $(awk '{ print $5 }' $ima/ascii_runtime_measurements)
    say "ima-words-$1" $($host eventlog show --json --pcr 10)
    # Without the system's log.
    say "ima-alone-$1" $($host eventlog show --json --pcr 10 --ima $ima/binary_runtime_measurements \
        /sys/kernel/security/tpm0/binary_bios_measurements)
}
