# $1: how many versions are installed when this has ended.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
systemd-tmpfiles --create elivepatch.conf >/dev/null 2>&1 || :
if [ "$1" -eq 1 ]; then
    systemctl preset elivepatch-agent.service elivepatch-boot.service elivepatch-shutdown.service \
        >/dev/null 2>&1 || :
fi
