# Asks for keys as programs do, by keyctl(1) and request-key(8), and says what comes of it.
keyctl=/usr/bin/keyctl
cp $keyctl /usr/bin/other
cp $keyctl /usr/bin/flipped
printf '\377' | dd of=/usr/bin/flipped bs=1 seek=$(($(stat -c %s $keyctl) - 1)) conv=notrunc 2>/dev/null
path=trust:path:$keyctl:test

why() { dmesg | grep 'trust\[' | tail -n 1 | sed 's/.*trust\[[0-9]*\]: //'; }
sum() { sha256sum "$1" | cut -d ' ' -f 1; }
csum() { ask "$1" "trust:csum:$(sum "$1"):test" '32 csum'; }
policy() { echo "$1" >/sys/kernel/security/ima/policy; }

say path "$(ask $keyctl $path '32 path')"
case $(cat /proc/cmdline) in
*phase=paths*)
    say csum_without_rules "$(csum $keyctl)"
    say csum_without_rules_why "$(why)"
    policy 'audit func=BPRM_CHECK'
    say csum_audited "$(csum $keyctl)"
    say csum_audited_why "$(why)"

    say other "$(ask /usr/bin/other trust:path:/usr/bin/other:test '32 path')"
    say larger "$(ask $keyctl $path '64 path')"
    say version "$(ask $keyctl $path '32 path version=2')"
    say label "$(ask $keyctl trust:label:backup:test '32 label=backup')"
    say user "$(su one -c "ask $keyctl $path '32 path'")"

    # Another program asks with this one's name.
    say stolen "$(ask /usr/bin/other $path '32 path')"
    say stolen_why "$(why)"
    say mismatch "$(ask $keyctl $path '32 label=x')"
    say mismatch_why "$(why)"
    # It finds what lies in a keyring of both, and nothing elsewhere.
    say cached "$(keyctl session - sh -c "$keyctl request2 user $path '32 path' @s >/dev/null
        keyctl print \$(/usr/bin/other request2 user $path '32 path' @s)" 2>/dev/null)"
    say not_cached "$(keyctl session - sh -c "$keyctl request2 user $path '32 path' @p >/dev/null
        /usr/bin/other request2 user $path '32 path' @p" 2>&1 | tail -n 1)"
    # What somebody has put there before is found.
    say planted "$(keyctl session - sh -c "/usr/bin/other add user $path planted @s >/dev/null
        keyctl print \$($keyctl request2 user $path '32 path' @s)" 2>/dev/null)"
    say rights "$(keyctl session - sh -c "key=\$($keyctl request2 user $path '32 path' @s); keyctl rdescribe \$key
        grep '$path' /proc/keys | sed 's/  */ /g' | cut -d ' ' -f 4
        keyctl update \$key x || echo 'not updated'
        keyctl setperm \$key 0x3f3f3f3f || echo 'not opened'
        keyctl session - keyctl print \$key || echo 'not read'" 2>/dev/null | tr '\n' ' ')"
    # The service puts it into the keyring of whoever asks.
    trust derive serve --socket /run/derive 2>/run/derive.log &
    until [ -S /run/derive ]; do sleep 0.2; done
    answer=$(su one -c 'ask-service /run/derive' 2>&1)
    say delivered_answer "$answer"
    serial=$(echo "$answer" | sed -n 's/.*"serial":\([0-9]*\).*/\1/p')
    say delivered "$(su one -c "keyctl print $serial; keyctl rdescribe $serial; keyctl show @u" 2>&1 | tr '\n' ' ')"
    say delivered_expected ":hex:$(trust derive path --exe /usr/bin/perl --uid 1000 --hex)"
    say delivered_to_root "$(keyctl session - keyctl show @u 2>&1 | grep -c trust:path)"
    kill $!

    say by_hand "$(trust derive request-key 1 $path '32 path' 0 2>&1)"
    ;;
*phase=contents*)
    policy 'measure func=BPRM_CHECK'
    for program in keyctl other flipped; do say csum_$program "$(csum /usr/bin/$program)"; done
    say csum_stolen "$(ask $keyctl "trust:csum:$(sum /usr/bin/flipped):test" '32 csum')"
    say csum_stolen_why "$(why)"

    # ext4 with fs-verity; the kernel's calls by their numbers, FS_IOC_ENABLE_VERITY and FS_IOC_MEASURE_VERITY.
    mkdir /mnt
    mount -t ext4 /dev/vda /mnt
    cp $keyctl /mnt/keyctl
    cp $keyctl /mnt/plain
    perl -e 'open(F, "<", $ARGV[0]) or die; my $how = pack("L4QL2Q12", 1, 1, 4096);
        ioctl(F, 0x40806685, $how) or die "enable: $!"' /mnt/keyctl
    digest=$(perl -e 'open(F, "<", $ARGV[0]) or die; my $room = pack("S2x64", 0, 64);
        ioctl(F, 0xc0046686, $room) or die "measure: $!"; print unpack("x4H64", $room)' /mnt/keyctl)
    verity() { ask "$1" "trust:verity:$digest:test" '32 csum=verity'; }
    say verity "$(verity /mnt/keyctl)"
    mv /mnt/keyctl /mnt/moved
    say verity_moved "$(verity /mnt/moved)"
    for program in /mnt/plain $keyctl; do
        say verity_of_$(basename $program) "$(verity $program)"
        say verity_of_$(basename $program)_why "$(why)"
    done
    ;;
esac
