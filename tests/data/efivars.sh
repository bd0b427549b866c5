# How a guest writes the firmware's keys.
GLOBAL=8be4df61-93ca-11d2-aa0d-00e098032b8c
DATABASE=d719b2cb-3d3a-4596-a3bc-dad00e67656f

# Writes a signed variable: FILE NAME GUID ATTRIBUTES, which are two hex digits
put() {
    file=/sys/firmware/efi/efivars/$2-$3
    # A flag keeps variables from being changed by accident.
    [ ! -e "$file" ] || chattr -i "$file"
    { printf "\\x$4\\0\\0\\0"; cat "/keys/$1"; } >/message
    dd if=/message of="$file" bs=1M 2>/dev/null
}
