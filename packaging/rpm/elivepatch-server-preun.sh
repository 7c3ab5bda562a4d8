# $1: how many versions stay.
if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable --now elivepatch-server.service elivepatch-worker.service >/dev/null 2>&1 || :
fi
