# It seals, is refused what is not its owner's, and starts the next image.
mkdir -p /run/log/systemd
ima_begins 0
attempt setup trust setup --on-lock-failure=exit --keep-policies
attempt finish trust finish
echo secret >/tmp/secret
attempt sealed $host seal --system -o /tmp/sealed /tmp/secret
cat /tmp/sealed >/dev/vdf
say locked $(pcr 7)

if [ "$refusals" = yes ]; then
    head -c $foreign /dev/vdd >/image
    attempt foreign $host kexec --load-only /image
    head -c $bare /dev/vdc >/image
    attempt bare $host kexec --load-only /image
    head -c $unsigned /dev/vdi >/image
    attempt unsigned $host kexec --load-only /image
    head -c $next /dev/vdb >/image
    printf X | dd of=/image bs=1 seek=5000000 conv=notrunc
    attempt flipped $host kexec --load-only /image
    head -c $next /dev/vdb >/image
    printf loud! | dd of=/image bs=1 seek=$cmdline_at conv=notrunc
    attempt altered $host kexec --load-only /image
    say refused $(pcr 7) $(cat /sys/kernel/kexec_loaded)
fi

head -c $next /dev/vdb >/image
attempt asks $host kexec /image
attempt dry $host kexec --dry-run --json /image
say still $(pcr 7) $(cat /sys/kernel/kexec_loaded)
attempt load $host kexec --load-only --json /image
say loaded $(cat /sys/kernel/kexec_loaded)
attempt again $host kexec --load-only /image
attempt unseal $host unseal /tmp/sealed
ima_tells 0
attempt check-0 $host eventlog check
perl -pe 's/kexec-cmdline/kexec-cmdlinx/' $ima/binary_runtime_measurements >/tmp/forged
attempt forged $host eventlog check --ima /tmp/forged
[ "$replaced" != yes ] || load_own
start_loaded
