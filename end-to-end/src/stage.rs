//! A machine for commands as the documentation shows them: this one, with `/etc`, `/usr`, `/var` and the network of a
//! server of its own. What the commands write there, nobody else sees.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    OwnCache, cache_directory,
    programs::{bound_to_this_test, program},
    said::Ran,
    wait::{BUILD_LIMIT, SHORT_LIMIT, wait_until},
};

/// Makes the directories, in namespaces that nothing else is in. `$1` is where what is written goes, `$2` the cache.
/// Builds put overlays over what is in `/var`, which no file system takes that is one itself.
const SET_UP: &str = r#"set -e
mount -t tmpfs -o mode=0755 own /run
for directory in etc usr srv var/backups; do
    mkdir -p "$1/written/$directory" "$1/work/$directory"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$1/written/$directory,workdir=$1/work/$directory" "/$directory"
done
for directory in var/lib var/cache; do
    mkdir -p "$1/written/$directory" "/run/$directory"
    mount --bind "/$directory" "/run/$directory"
    mount -o remount,bind,ro "/run/$directory"
    for entry in "/run/$directory"/*; do
        [ "${entry##*/}" = elivepatch ] || ln -s "$entry" "$1/written/$directory/"
    done
    mount --bind "$1/written/$directory" "/$directory"
done
rm -rf /etc/elivepatch
mkdir -p /var/cache/elivepatch
mount --bind "$2" /var/cache/elivepatch
echo '127.0.0.1 localhost patches patches.example' > /etc/hosts
busybox ip link set lo up
echo ready
exec sleep infinity
"#;

/// What is served there, and where commands are run.
#[derive(Debug)]
pub struct Stage {
    holder: Child,
    server: Option<Child>,
    place: tempfile::TempDir,
    cache: OwnCache,
}

impl Stage {
    /// One with both programs, and with a cache that has what all tests share and can be changed.
    ///
    /// # Panics
    /// When it cannot be made. Only root can.
    pub fn new() -> Self {
        let cache = OwnCache::with_own_bases();
        let servers = cache_directory().join("test/servers");
        let place = tempfile::tempdir_in(servers).expect("the cache can be written");
        let home = place.path().join("home");
        fs::create_dir_all(home.join("target/release")).expect("own directory");
        let mut holder = bound_to_this_test(Path::new("unshare"));
        holder
            .args(["--mount", "--net", "--propagation", "private", "--", "sh", "-c", SET_UP, "sh"])
            .arg(place.path())
            .arg(cache.path())
            .stdin(Stdio::null())
            .stdout(File::create(place.path().join("holder")).expect("own directory"))
            .stderr(File::create(place.path().join("holder.errors")).expect("own directory"));
        let mut holder = holder.spawn().expect("setpriv and unshare are installed");
        wait_until("the namespaces", SHORT_LIMIT, || {
            let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap_or_default();
            let ended = holder.try_wait().expect("a child");
            assert!(ended.is_none(), "only root can run this: {}", read("holder.errors"));
            (read("holder") == "ready\n").then_some(())
        });
        let stage = Self { holder, server: None, place, cache };
        for name in ["elivepatch", "elivepatch-server"] {
            symlink(program(name), stage.home().join("target/release").join(name))
                .expect("own directory");
            let to = format!("/usr/bin/{name}");
            let ran = stage.run(&format!("ln -s {} {to}", program(name).display()));
            assert_eq!(ran.code, 0, "{}", ran.output);
        }
        stage
    }

    /// Where the commands begin.
    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// Its cache.
    pub fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// The process whose network the machine is in.
    pub fn network(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a script there, as root and with nothing of this test's environment. What it prints is said and kept.
    ///
    /// # Panics
    /// When it cannot be run, or takes longer than any build does.
    pub fn run(&self, script: &str) -> Ran {
        let output = self.place.path().join("output");
        let mut child = self.start(script, &output);
        let status = wait_until("a block", BUILD_LIMIT, || child.try_wait().expect("a child"));
        let output = String::from_utf8_lossy(&fs::read(&output).expect("own file")).into_owned();
        Ran { output, code: status.code().unwrap_or(-1) }
    }

    /// Runs a script of which the last command is the server, and goes on when that listens. One that runs already is
    /// stopped before.
    ///
    /// # Panics
    /// When it does not listen soon.
    pub fn serve(&mut self, script: &str) {
        self.stop_server();
        let log = self.place.path().join("server.log");
        let mut child = self.start(script, &log);
        wait_until("the server", BUILD_LIMIT, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "{script}\ndoes not stay:\n{log}");
            (log.contains("listening on ") && log.contains("access: ")).then_some(())
        });
        self.server = Some(child);
    }

    /// Stops the server, if there is one.
    ///
    /// # Panics
    /// When it does not end by itself.
    pub fn stop_server(&mut self) {
        let Some(mut child) = self.server.take() else { return };
        // The shell has become the server.
        kill_process(Pid::from_child(&child), Signal::TERM).expect("the server runs");
        wait_until("the server's end", SHORT_LIMIT, || child.try_wait().expect("a child"));
    }

    /// Writes a file there: an absolute path, or one in the home directory.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.place.path().join("text"), text).expect("own directory");
        let text = self.place.path().join("text");
        let ran =
            self.run(&format!("mkdir -p \"$(dirname {path})\"; cat {} > {path}", text.display()));
        assert_eq!(ran.code, 0, "{}", ran.output);
    }

    /// A command that is run with the network of the machine.
    pub(crate) fn within(&self, namespaces: &[&str], name: &str) -> Command {
        let mut command = bound_to_this_test(Path::new("nsenter"));
        command.args(["--target", &self.holder.id().to_string()]).args(namespaces);
        command.args(["--", name]);
        command
    }

    fn start(&self, script: &str, output: &Path) -> Child {
        // What stays is the shell itself: nobody has to look for its children.
        let path = self.place.path().join("script");
        let mut file = File::create(&path).expect("own directory");
        writeln!(file, "cd {}", self.home().display()).expect("own file");
        file.write_all(script.as_bytes()).expect("own file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
        let log = File::create(output).expect("own directory");
        self.within(&["--mount", "--net"], "env")
            .args(["-i", "LC_ALL=C.UTF-8", "USER=root"])
            .arg(format!("HOME={}", self.home().display()))
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["sh", "-e"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file"))
            .stdout(log)
            .spawn()
            .expect("nsenter is installed")
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended by itself; then there is nothing left to do.
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.place.path().join("server.log"));
            eprintln!("the server's log:\n{}", log.unwrap_or_default());
        }
        // With it the mounts go.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
