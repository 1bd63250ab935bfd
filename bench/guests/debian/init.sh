#!/bin/dash
# The first process. `program=NAME` on the kernel's command line says what to do: /bench/NAME.sh
# brings `prepare`, `work` and `result`, of which only `work` is timed, between two lines.

export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
ifconfig lo 127.0.0.1
mkdir -p /tmp
cd /tmp

prepare() { :; }
. "/bench/$program.sh"

prepare
echo "start $program"
work
echo "end $program"
echo "result $(result)"
sleep 0.1
poweroff -f
