# $1: how many versions stay.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        # The units of boot and shutdown do their work once: only the agent goes on with the new program.
        systemctl try-restart elivepatch-agent.service >/dev/null 2>&1 || :
    fi
fi
if [ "$1" -eq 0 ] && [ "$(readlink /usr/bin/elivepatch-client)" = elivepatch ]; then
    rm -f /usr/bin/elivepatch-client
fi
