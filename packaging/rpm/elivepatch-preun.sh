# $1: how many versions stay. What is loaded stays loaded until the machine is started again.
if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable --now elivepatch-agent.service elivepatch-boot.service \
        elivepatch-shutdown.service >/dev/null 2>&1 || :
fi
