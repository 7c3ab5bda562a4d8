# $1: how many versions are installed when this has ended.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
# What the first elivepatch's client was called: as this the program loads what it has built.
[ -e /usr/bin/elivepatch-client ] || ln -s elivepatch /usr/bin/elivepatch-client || :
systemd-tmpfiles --create elivepatch.conf >/dev/null 2>&1 || :
if [ "$1" -eq 1 ]; then
    systemctl preset elivepatch-agent.service elivepatch-boot.service elivepatch-shutdown.service \
        >/dev/null 2>&1 || :
fi
