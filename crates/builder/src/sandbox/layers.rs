//! The command lines of the two layers of bubblewrap.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Overlay, SANDBOX_USER_ID, SandboxCommand, SandboxLimits};

/// What the script below prints as its last word before the tool takes over. Without it the tool
/// never ran, whatever the exit code; and a tool cannot forge that it did not.
pub(super) const READY: &str = "sandbox: ready";

/// Runs in the sandbox before the tool: mounts the overlay, forbids further user namespaces, sets
/// the limits, and gives up the capabilities that this took. Everything variable is a parameter.
const SETUP: &str = r#"
fail() { echo "sandbox: cannot $1" >&2; exit 1; }
processes=$1 memory=$2 file_size=$3 lower=$4 ready=$5
shift 5
if [ -n "$lower" ]; then
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=/layer/upper,workdir=/layer/work,userxattr" /build ||
        fail "mount the overlay"
fi
echo 0 > /proc/sys/user/max_user_namespaces || fail "forbid user namespaces"
cd "$SANDBOX_DIRECTORY" || fail "enter $SANDBOX_DIRECTORY"
unset SANDBOX_DIRECTORY OLDPWD
[ -z "$ready" ] || echo "$ready"
exec prlimit --nproc="$processes" --as="$memory" --fsize="$file_size" --core=0 --nofile=4096 -- \
    setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs -- "$@"
"#;

/// Where the directories are shown on the way from root to the sandbox's user, in a mount
/// namespace of its own. Nothing that a sandbox is to see lies below it.
const REACH: &str = "/run/elivepatch";

/// Where the sandbox shows the layers between an overlay's lower directory and its own layer.
const BETWEEN: &str = "/between";

/// Runs as root before the sandbox: shows each of the next COUNT pairs of paths, the second below
/// the first argument, and goes on with the rest as a command.
const GIVE_UP_ROOT: &str = r#"
fail() { echo "sandbox: cannot show $1" >&2; exit 1; }
reach=$1 count=$2
shift 2
mkdir -p "$reach" && mount -t tmpfs -o mode=0755,size=1m elivepatch "$reach" || fail "$reach"
while [ "$count" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir "$2"; else : > "$2"; fi || fail "$1"
    mount --bind "$1" "$2" || fail "$1"
    shift 2
    count=$((count - 1))
done
exec "$@"
"#;

/// The capabilities that the setup script needs, all of them within the sandbox's own user
/// namespace. overlayfs makes its work directory with mode 0 and then writes there: DAC_OVERRIDE.
const SETUP_CAPABILITIES: [&str; 7] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_RESOURCE",
    "CAP_SETPCAP",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_CHOWN",
];

/// The size of `/tmp`, which lies in memory: compilers put assembly text there, some MB a file.
const TEMPORARY_BYTES: &str = "536870912";

/// A file or directory of the machine that the sandbox shows.
struct Mount {
    option: &'static str,
    host: Utf8PathBuf,
    inside: String,
}

/// The process of a sandbox. It prints `ready` as a line before the tool begins, unless that is
/// empty.
pub(super) fn build(
    command: &SandboxCommand,
    limits: &SandboxLimits,
    drops_root: bool,
    ready: &str,
) -> Command {
    let mounts = mounts(command);
    if !drops_root {
        let hosts = mounts.iter().map(|mount| mount.host.clone()).collect();
        return into_process(inner_layer(command, limits, &mounts, hosts, ready));
    }
    let reachable: Vec<Utf8PathBuf> =
        (0..mounts.len()).map(|index| format!("{REACH}/{index}").into()).collect();
    let mut arguments = outer_layer(&mounts, &reachable, device_groups(command));
    arguments.extend(inner_layer(command, limits, &mounts, reachable, ready));
    into_process(arguments)
}

fn mounts(command: &SandboxCommand) -> Vec<Mount> {
    let mount = |option, host: &Utf8Path, inside: &str| Mount {
        option,
        host: host.to_owned(),
        inside: inside.to_owned(),
    };
    let mut mounts = vec![mount("--ro-bind", &command.root.join("usr"), "/usr")];
    // The machine's own /etc is nothing for a sandbox; a toolchain root's holds alternatives.
    if command.root != "/" {
        mounts.push(mount("--ro-bind", &command.root.join("etc"), "/etc"));
    }
    mounts.extend(command.read_only.iter().map(|(host, at)| mount("--ro-bind", host, at)));
    mounts.extend(command.writable.iter().map(|(host, at)| mount("--bind", host, at)));
    if let Some(overlay) = &command.overlay {
        mounts.push(mount("--ro-bind", &overlay.lower, "/lower"));
        for (number, layer) in overlay.between.iter().enumerate() {
            mounts.push(mount("--ro-bind", layer, &format!("{BETWEEN}/{number}")));
        }
        // overlayfs wants its two directories below one mount.
        mounts.push(mount("--bind", &overlay.layer, "/layer"));
    }
    mounts
}

/// What overlayfs is to put one over the other, the uppermost first.
fn lower_directories(overlay: &Overlay) -> String {
    // Not `upper` itself is shown, but the layer that holds it: tools could
    // have put a symbolic link in its place, which a mount from outside would follow.
    let between = (0..overlay.between.len()).map(|number| format!("{BETWEEN}/{number}/upper:"));
    between.chain(["/lower".to_owned()]).collect()
}

/// As root: shows the directories, wherever they lie, below [`REACH`], then gives up root. Every
/// program replaces the one before, so that the process which the supervisor starts *is* the
/// sandbox's first process. A bubblewrap as outer layer would stay as its parent, and could not
/// take it along when killed: without capabilities, root may not signal another user's process.
fn outer_layer(mounts: &[Mount], reachable: &[Utf8PathBuf], groups: Vec<String>) -> Vec<String> {
    let mut arguments = strings(["unshare", "--mount", "--propagation", "private", "--"]);
    arguments.extend(strings(["/bin/sh", "-c", GIVE_UP_ROOT, "sandbox", REACH]));
    arguments.push(mounts.len().to_string());
    for (mount, at) in mounts.iter().zip(reachable) {
        arguments.extend([mount.host.to_string(), at.to_string()]);
    }
    let id = SANDBOX_USER_ID.to_string();
    arguments.extend(strings(["setpriv", "--reuid", &id, "--regid", &id]));
    arguments.push(match groups.len() {
        0 => "--clear-groups".to_owned(),
        _ => format!("--groups={}", groups.join(",")),
    });
    arguments.extend(strings(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]));
    arguments
}

/// The groups that may use the command's devices, such as `kvm`; never root's.
fn device_groups(command: &SandboxCommand) -> Vec<String> {
    let group = |device: &String| {
        let metadata = std::fs::metadata(device).ok()?;
        Some(std::os::unix::fs::MetadataExt::gid(&metadata)).filter(|group| *group != 0)
    };
    command.devices.iter().filter_map(group).map(|group| group.to_string()).collect()
}

fn inner_layer(
    command: &SandboxCommand,
    limits: &SandboxLimits,
    mounts: &[Mount],
    sources: Vec<Utf8PathBuf>,
    ready: &str,
) -> Vec<String> {
    let mut arguments = strings(["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc"]);
    arguments.extend(strings(["--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]));
    arguments.extend(strings(["--uid", "0", "--gid", "0", "--hostname", "sandbox"]));
    arguments.extend(strings(["--new-session", "--die-with-parent", "--clearenv"]));
    for capability in SETUP_CAPABILITIES {
        arguments.extend(strings(["--cap-add", capability]));
    }
    for directory in ["bin", "sbin", "lib", "lib64"] {
        let (target, link) = (format!("usr/{directory}"), format!("/{directory}"));
        arguments.extend(strings(["--symlink", &target, &link]));
    }
    arguments.extend(strings(["--proc", "/proc", "--dev", "/dev", "--dir", "/build"]));
    arguments.extend(strings(["--size", TEMPORARY_BYTES, "--tmpfs", "/tmp"]));
    for (mount, source) in mounts.iter().zip(sources) {
        arguments.extend([mount.option.to_owned(), source.into_string(), mount.inside.clone()]);
    }
    for device in &command.devices {
        arguments.extend(strings(["--dev-bind-try", device, device]));
    }
    // What is not a mount of its own lies in memory, and must not be filled.
    arguments.extend(strings(["--remount-ro", "/dev", "--remount-ro", "/"]));
    let fixed = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C"),
        ("HOME", "/tmp"),
        ("SANDBOX_DIRECTORY", command.directory.as_str()),
    ];
    let own = command.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fixed.into_iter().chain(own) {
        arguments.extend(strings(["--setenv", name, value]));
    }
    arguments.extend(strings(["--", "/bin/sh", "-c", SETUP, "sandbox"]));
    arguments.push(limits.processes.to_string());
    arguments.push(limits.memory_bytes.to_string());
    arguments.push(limits.disk_bytes.to_string());
    arguments.push(command.overlay.as_ref().map_or_else(String::new, lower_directories));
    arguments.push(ready.to_owned());
    arguments.extend(command.program.iter().cloned());
    arguments
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn into_process(arguments: Vec<String>) -> Command {
    let mut words = arguments.into_iter();
    let mut process = Command::new(words.next().unwrap_or_default());
    process.args(words);
    process
}
