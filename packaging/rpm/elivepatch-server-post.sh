# $1: how many versions are installed when this has ended.
systemd-sysusers elivepatch-server.conf >/dev/null 2>&1 || :
# Trials are ten times as fast with KVM. Where sysusers.d said this, the package would want group(kvm), which not all
# distributions have as a package.
if getent group kvm >/dev/null; then
    usermod --append --groups kvm elivepatch || :
fi
systemd-tmpfiles --create elivepatch-server.conf >/dev/null 2>&1 || :
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
if [ "$1" -eq 1 ]; then
    systemctl preset elivepatch-server.service >/dev/null 2>&1 || :
fi
