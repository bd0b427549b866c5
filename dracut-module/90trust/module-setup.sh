#!/bin/bash
# Trust in an initramfs of dracut, with systemd and without, configured in /etc/dracut.conf.d/trust.conf.

# The path of `trust-initrd`, as configured or in its usual places.
_program() {
    local file files=(/usr/local/lib/trust/trust-initrd /usr/lib/trust/trust-initrd)
    [[ ${trust_program-} ]] && files=("$trust_program")
    for file in "${files[@]}"; do
        # shellcheck disable=SC2154 # dracut's
        [[ -x $dracutsysrootdir$file ]] && echo "$dracutsysrootdir$file" && return 0
    done
    return 1
}

# Whether anything is configured; if not, the module is included only if it is named.
_configured() {
    [[ ${trust_pcr7data-}${trust_luks-}${trust_crypt-}${trust_image-} ]]
}

# If it is configured, no initramfs may be built without it.
_fatal() {
    dfatal "trust: $*"
    exit 1
}

check() {
    # An initramfs for kdump comes after the boot.
    [[ ${mount_needs-} ]] && return 1
    if ! _program > /dev/null; then
        _configured && derror "trust: there is no program ${trust_program:-trust-initrd}: give its path in trust_program="
        return 1
    fi
    require_binaries cryptsetup dmsetup modprobe || return 1
    _configured || return 255
    return 0
}

depends() {
    local name
    echo dm
    if [[ ${trust_crypt-} == yes ]]; then
        echo crypt
        # A module of its own since dracut 060; it is left out together with systemd.
        for name in "$dracutbasedir"/modules.d/*systemd-cryptsetup; do
            [[ -d $name ]] && ! [[ " $omit_dracutmodules " == *\ systemd\ * ]] && echo systemd-cryptsetup
        done
    fi
    return 0
}

installkernel() {
    hostonly='' instmods '=drivers/char/tpm' dm_mod dm_crypt
    # cryptsetup's default cipher and hashes; it uses AF_ALG for the cipher of a keyslot.
    hostonly='' instmods -s af_alg algif_skcipher algif_hash xts ecb cbc essiv aes aes_generic aesni_intel sha256 \
        sha256_generic sha512 sha512_generic hmac crypto-xts crypto-aes crypto-sha256 crypto-hmac
    # For a volume with the files of `trust provision`.
    [[ ${trust_image-} != provisioning ]] || hostonly='' instmods vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8
}

# The options among trust_setup_options= that `finish` needs to find what `setup` has published.
_places() {
    local words word
    read -r -a words <<< "${trust_setup_options-}"
    set -- "${words[@]}"
    for word; do
        shift
        case $word in
            --also-as | --secrets-dir) printf ' %s %s' "$word" "${1-}" ;;
            --also-as=* | --secrets-dir=*) printf ' %s' "$word" ;;
        esac
    done
}

_configuration() {
    local places volume name device open=
    places=$(_places)
    mkdir -p "$initdir/etc/trust/luks"
    {
        echo "TRUST_SETUP=\"${trust_setup_options-}\""
        echo "TRUST_FINISH=\"${places# } ${trust_finish_options-}\""
        # Volumes opened by other programs cannot be verified.
        [[ ${trust_crypt-} == yes ]] && echo "TRUST_ROOT="
        echo "TRUST_WITHDRAW=\"${places# }\""
        echo "TRUST_PAUSE=${trust_pause:-30}"
        echo "TRUST_SHELL=${trust_shell:-no}"
        echo "TRUST_PROMPT=${trust_prompt:-no}"
        echo "TRUST_IMAGE=${trust_image:-production}"
    } > "$initdir/etc/trust/options"
    [[ ${trust_luks_for_kexec-} == yes ]] && open=--for-kexec
    for volume in ${trust_luks-}; do
        name=${volume%%=*} device=${volume#*=}
        [[ $volume == *=* && $device && $name =~ ^[A-Za-z0-9_.-]+$ ]] || _fatal "trust_luks=: $volume is not NAME=DEVICE"
        printf 'DEVICE="%s"\nOPTIONS="%s"\nOPEN_OPTIONS=%s\nWAIT=%s\n' "$device" "${trust_luks_options-}" "$open" "${trust_luks_wait:-60}" \
            > "$initdir/etc/trust/luks/$name.conf"
    done
    # The shells of dracut and its hooks; and a limit for its waiting, which is endless otherwise.
    mkdir -p "$initdir/etc/cmdline.d"
    if [[ ${trust_shell-} == yes ]]; then
        echo "rd.shell=1 SYSTEMD_SULOGIN_FORCE=1"
    else
        echo "rd.shell=0 rd.emergency=reboot"
    fi > "$initdir/etc/cmdline.d/90trust.conf"
    echo "rd.timeout=${trust_timeout:-600}" >> "$initdir/etc/cmdline.d/90trust.conf"
}

_units() {
    local file unit units=(trust-withdraw.service trust-close.service)
    for file in "$moddir"/systemd/*; do
        inst_simple "$file" "$systemdsystemunitdir/${file##*/}"
    done
    case ${trust_image:-production} in
        production)
            units+=(trust-setup.service trust-finish.service trust-luks.target)
            [[ ${trust_crypt-} == yes ]] || units+=(trust-root.service trust-lvm.service)
            ;;
        installer | maintenance) units+=(trust-preinit.service trust-install.service) ;;
        provisioning) units+=(trust-provision.service) ;;
    esac
    for file in "$initdir"/etc/trust/luks/*.conf; do
        [[ -e $file ]] && file=${file##*/} && units+=("trust-luks@${file%.conf}.service")
    done
    if [[ ${trust_image-} == maintenance ]]; then
        # The existing passphrase in place of a new one.
        mkdir -p "$initdir/etc/systemd/system/trust-preinit.service.d"
        # shellcheck disable=SC2016 # it is for systemd
        printf '[Unit]\nDescription=\nDescription=Secrets of the machine\n[Service]\nExecStart=\nExecStart=/usr/bin/trust setup $TRUST_SETUP\n' \
            > "$initdir/etc/systemd/system/trust-preinit.service.d/maintenance.conf"
    fi
    $SYSTEMCTL -q --root "$initdir" enable "${units[@]}" || _fatal "cannot enable ${units[*]}"
    mkdir -p "$initdir/etc/systemd/system" "$initdir/etc/systemd/system-generators"
    cd "$initdir/etc/systemd/system" || exit 1
    if [[ ${trust_shell-} == yes ]]; then
        ln -sf "$systemdsystemunitdir/emergency.service" trust-failed.service
    else
        for unit in emergency rescue debug-shell dracut-emergency breakpoint-pre-{udev,basic,mount,switch-root}; do
            ln -sf "$systemdsystemunitdir/trust-failed.service" "$unit.service"
        done
    fi
    if [[ ${trust_prompt-} == yes ]]; then
        # A user may know a passphrase where the TPM gives none.
        mkdir -p trust-setup.service.d
        # shellcheck disable=SC2016 # it is for systemd
        printf '[Service]\nExecStart=\nExecStart=-/usr/bin/trust setup $TRUST_SETUP\n' > trust-setup.service.d/prompt.conf
    else
        for unit in console plymouth wall; do
            ln -sf /dev/null "systemd-ask-password-$unit.path"
            ln -sf /dev/null "systemd-ask-password-$unit.service"
        done
    fi
}

_hooks() {
    inst_multiple udevadm
    case ${trust_image:-production} in
        production | installer | maintenance) inst_hook pre-trigger 10 "$moddir/trust-setup.sh" ;;
        provisioning) inst_hook initqueue/settled 10 "$moddir/trust-provision.sh" ;;
    esac
    [[ ! ${trust_install-} ]] || inst_hook initqueue/settled 30 "$moddir/trust-install.sh"
    if [[ ${trust_install-} || ${trust_image-} == provisioning ]]; then
        inst_hook cmdline 10 "$moddir/trust-no-root.sh"
        inst_hook initqueue/finished 10 "$moddir/trust-never-finished.sh"
    fi
    inst_hook initqueue/settled 20 "$moddir/trust-luks.sh"
    inst_hook initqueue/finished 20 "$moddir/trust-luks-finished.sh"
    if [[ ${trust_image:-production} == production ]]; then
        [[ ${trust_crypt-} == yes ]] || inst_hook pre-pivot 00 "$moddir/trust-root.sh"
        inst_hook pre-pivot 99 "$moddir/trust-finish.sh"
    fi
    if dracut_module_included crypt; then
        # Its tool prompts on the terminal; the function of this name that it calls is ours from now on.
        sed -i 's/^ask_for_password()/trust_ask_for_password()/' "$initdir/lib/dracut-crypt-lib.sh"
        echo '. /lib/trust-prompt.sh' >> "$initdir/lib/dracut-crypt-lib.sh"
        inst_simple "$moddir/trust-prompt.sh" /lib/trust-prompt.sh
    fi
    dracut_need_initqueue
}

# Hooks that assemble whatever disks claim to be part of; see mask.sh.
_keep_hooks_out() {
    find "$initdir" -path '*/hooks/*' \( -name '*lvm*' -o -name '*mdraid*' -o -name '*dmraid*' -o -name '*multipath*' \
        -o -name '*stratis*' -o -name '*bcache*' \) -delete
}

install() {
    local program pcr7data="$dracutsysrootdir${trust_pcr7data-}"
    case ${trust_image:-production} in
        production | installer | maintenance | provisioning) ;;
        *) _fatal "trust_image= is production, installer, maintenance or provisioning" ;;
    esac
    program=$(_program) || _fatal "there is no program ${trust_program:-trust-initrd}: give its path in trust_program="
    inst_simple "$program" /usr/bin/trust
    inst_multiple cryptsetup dmsetup modprobe sleep mount umount mkdir cp
    # Argon2 ends its thread with it.
    inst_libdir_file 'libgcc_s.so*'

    if [[ ${trust_pcr7data-} ]]; then
        compgen -G "$pcr7data/policy-*" > /dev/null || _fatal "there are no policies in $pcr7data: name the pcr7data of a keyset"
        mkdir -p "$initdir/pcr7data"
        cp -rL "$pcr7data/." "$initdir/pcr7data/" || _fatal "cannot copy $pcr7data"
    fi
    if [[ ${trust_manifest_ca-} ]]; then
        inst_simple "$dracutsysrootdir$trust_manifest_ca" /manifestCA.pem || _fatal "cannot copy $trust_manifest_ca"
    fi

    if [[ ${trust_install-} ]]; then
        [[ ${trust_image-} == installer || ${trust_image-} == maintenance ]] || _fatal "trust_install= is for trust_image=installer and maintenance"
        inst_simple "$dracutsysrootdir$trust_install" /usr/lib/trust/install || _fatal "cannot copy $trust_install"
        chmod 0755 "$initdir/usr/lib/trust/install"
    fi

    _configuration
    local kind=${trust_image:-production}
    [[ ${trust_crypt-} != yes ]] || kind=crypt
    sh "$moddir/mask.sh" "$initdir" "$kind" || _fatal "cannot mask what acts on unsigned input"
    [[ $kind == crypt ]] || _keep_hooks_out
    inst_simple "$moddir/cmdline.sh" /usr/lib/trust/cmdline.sh
    inst_simple "$moddir/provision.sh" /usr/lib/trust/provision.sh
    inst_simple "$moddir/trust-lib.sh" /lib/trust-lib.sh
    inst_hook emergency 00 "$moddir/trust-emergency.sh"
    inst_hook shutdown-emergency 00 "$moddir/trust-emergency.sh"
    if dracut_module_included systemd; then
        # In subshells: it changes the directory.
        (_units) || exit 1
    else
        _hooks
    fi
}
