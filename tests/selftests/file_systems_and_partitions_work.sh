#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What people do with a disk: fio with verification, a partition table, ext4.
set -euo pipefail

bin=${TORUS_SELFTESTS:?the folder with the built tests}
for tool in fio sfdisk mkfs.ext4 e2fsck; do
	command -v "$tool" >/dev/null || { echo "# skipped: no $tool"; exit 4; }
done
work=$(mktemp -d)
helper=
cleanup() {
	umount "$work/mnt" 2>/dev/null || true
	[ -z "$helper" ] || { kill "$helper" 2>/dev/null || true; wait "$helper" 2>/dev/null || true; }
	rm -rf "$work"
}
trap cleanup EXIT

mkfifo "$work/out"
"$bin/ram_helper" 96 fs 2 >"$work/out" &
helper=$!
read -r dev <"$work/out"
[ -b "$dev" ] || { echo "# $dev is no block device"; exit 1; }

size=4m
[ "${TORUS_TIER:-}" != full ] || size=32m
fio --name=verify --filename="$dev" --rw=randwrite --bsrange=4k-256k --size=$size \
	--ioengine=libaio --iodepth=32 --direct=1 --verify=crc32c --fsync=64 \
	--output="$work/fio.log" || { sed 's/^/# /' "$work/fio.log"; exit 1; }

echo 'label: gpt
,40M
,' | sfdisk --quiet --no-tell-kernel "$dev"
blockdev --rereadpt "$dev"
[[ -b ${dev}p1 && -b ${dev}p2 ]] || { echo "# no partitions"; exit 1; }

mkdir "$work/mnt"
mkfs.ext4 -q "${dev}p1"
mount "${dev}p1" "$work/mnt"
cp -r /usr/include/linux/netfilter "$work/mnt/"
sync -f "$work/mnt"
umount "$work/mnt"
echo 3 >/proc/sys/vm/drop_caches
mount -o ro "${dev}p1" "$work/mnt"
diff -r /usr/include/linux/netfilter "$work/mnt/netfilter"
umount "$work/mnt"
e2fsck -fn "${dev}p1" >"$work/fsck.log" 2>&1 || { sed 's/^/# /' "$work/fsck.log"; exit 1; }

kill "$helper"
wait "$helper"
helper=
[ ! -e "$dev" ] || { echo "# $dev is still there"; exit 1; }
