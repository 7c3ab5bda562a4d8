#!/bin/sh
# Runs the blocks of docs/install.md that are about packages, from their text. It is for a Debian in a container that is
# thrown away, with systemd: scripts/test-packages.sh starts it there as a service.
#
# usage: install-guide.sh DIRECTORY
#   DIRECTORY   has the packages as packages/*.deb, docs/install.md, packaging/, and the server's program
set -eu
directory=$1
export DEBIAN_FRONTEND=noninteractive HOME=/root
# What the page's reader answers: yes, and the config that is there is kept. What is only recommended is not to be had
# here.
cat > /etc/apt/apt.conf.d/install-guide <<'END'
Dpkg::Options { "--force-confold"; };
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
END

# shown NUMBER: the block with this number, of those that are marked for here, with what is the reader's own.
shown() {
    awk -v number="$1" '
        /^<!-- run: package -->$/ { seen++; next }
        seen == number && /^```$/ { exit }
        seen == number && !/^```/' "$directory/docs/install.md" |
        sed -e 's,https://SERVER:8420 --server-certificate [^ ]*,http://127.0.0.1:8420,' \
            -e "s,--token-file -\$,--token-file - < $directory/host.token,"
}

# block NUMBER DIRECTORY: runs it there.
block() {
    shown "$1" > "$directory/block-$1"
    [ -s "$directory/block-$1" ] || { echo "there is no block $1"; exit 1; }
    echo "== block $1"
    sed 's/^/   /' "$directory/block-$1"
    (cd "$2" && sh -e "$directory/block-$1" < /dev/null)
    echo "== block $1 ended well"
}

# serves: waits until the server answers.
serves() {
    for _ in $(seq 60); do
        ! curl --silent --fail http://127.0.0.1:8420/api/v2/health > /dev/null || return 0
        sleep 1
    done
    echo "the server does not answer"
    return 1
}

# anew: nothing of elivepatch is installed any more, nor what was installed for it only.
anew() {
    dpkg --purge elivepatch elivepatch-server
    apt-get autoremove --purge --quiet
    rm -rf /var/lib/elivepatch /var/lib/elivepatch-server /var/cache/elivepatch-server /etc/elivepatch
}

block 1 "$directory/packages"
serves
elivepatch-server token create --role host > "$directory/host.token"
block 2 "$directory/packages"
systemctl is-active elivepatch-agent elivepatch-boot
elivepatch-server host list

anew
install -m 755 "$directory/elivepatch-server" /usr/bin/
! command -v bwrap || { echo "what the server needs is there before it is installed"; exit 1; }
block 3 "$directory"
serves
# What the package depends on: the server does not ask for all of it at its start.
dpkg-deb --field "$directory"/packages/elivepatch-server_*.deb Depends | tr ',' '\n' |
    sed 's/^ *//; s/ (.*//; /|/d; /^$/d' > "$directory/depends"
while read -r package; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" | grep -q -x installed ||
        { echo "$package is missing in block 3"; exit 1; }
done < "$directory/depends"
dpkg-deb --fsys-tarfile "$directory"/packages/elivepatch_*.deb | tar --extract --to-stdout ./usr/bin/elivepatch \
    > /usr/bin/elivepatch
chmod 755 /usr/bin/elivepatch
block 4 /root
for file in /usr/local/share/man/man1/elivepatch.1 /usr/local/share/man/man8/elivepatch-server.8 \
    /usr/share/bash-completion/completions/elivepatch /usr/local/share/zsh/site-functions/_elivepatch \
    /usr/share/fish/vendor_completions.d/elivepatch.fish; do
    [ -s "$file" ] || { echo "block 4 makes no $file"; exit 1; }
    rm "$file"
done
rm -r /usr/bin/elivepatch /usr/local/share/man/man[18]
systemctl disable --now elivepatch-server
rm -f /usr/bin/elivepatch-server /etc/systemd/system/elivepatch-server.service \
    /etc/systemd/system/elivepatch-worker.service
rm -f /usr/lib/sysusers.d/elivepatch-server.conf /usr/lib/tmpfiles.d/elivepatch-server.conf

# The server of before ran as root, from its own unit.
anew
install -m 755 "$directory/elivepatch-server" /usr/local/bin/
/usr/local/bin/elivepatch-server init
/usr/local/bin/elivepatch-server token create --role admin --name of-before > "$directory/before.token"
printf '[Service]\nExecStart=/usr/local/bin/elivepatch-server\n[Install]\nWantedBy=multi-user.target\n' \
    > /etc/systemd/system/elivepatch-server.service
systemctl daemon-reload
systemctl enable --now elivepatch-server
serves
block 5 "$directory/packages"
rm -rf /var/lib/elivepatch-server/*
block 6 /root
sed -i -e 's,^#*data_directory = .*,data_directory = "/var/lib/elivepatch-server",' \
    -e 's,^#*cache_directory = .*,cache_directory = "/var/cache/elivepatch-server",' /etc/elivepatch/server.toml
systemctl daemon-reload
block 7 /root
serves
elivepatch-server token list | grep of-before
! shown 8 | grep . || { echo "block 8 is not run"; exit 1; }
echo "install-guide: all of it is as docs/install.md says"
