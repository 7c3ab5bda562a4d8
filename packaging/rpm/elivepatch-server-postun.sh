# $1: how many versions stay.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart elivepatch-server.service elivepatch-worker.service >/dev/null 2>&1 || :
    fi
fi
