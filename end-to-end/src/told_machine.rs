//! A machine that is patched and is told what to run, one script after the other, while something else goes on beside it.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use crate::{
    RunningMachine, Stage, TargetMachine,
    said::Ran,
    wait::{SHORT_LIMIT, wait_until},
    way_to,
};

/// For all that a page does, with builds that the machine waits for, under software emulation.
const PATIENCE: Duration = Duration::from_secs(1500);

/// The port on which the next script lies ready.
const PORT: &str = "9000";

/// Fetches scripts and runs them, each by a shell of its own and without a terminal.
const LOOP: &str = r#"
mkdir -p /boot /usr/bin /usr/sbin /etc/elivepatch /root
ln -s /disk/config-* /boot/
echo '127.0.0.1 localhost
10.0.2.2 patches patches.example' >/etc/hosts
export HOME=/root
cd /disk
run ready true
while :; do
    until nc 10.0.2.2 9000 </dev/null >/tmp/block 2>/dev/null && tail -n 1 /tmp/block | grep -q '^# end'; do
        sleep 0.2
    done
    name=$(sed -n '1s/^# //p' /tmp/block)
    run $name sh -e /tmp/block </dev/null
done
"#;

/// A machine that runs and waits for scripts.
#[derive(Debug)]
pub struct ToldMachine<'a> {
    running: RunningMachine<'a>,
    stage: &'a Path,
    told: usize,
}

impl TargetMachine {
    /// Starts it in the network of a stage. What listens on the stage's port 8420 does so on its own, too.
    ///
    /// # Panics
    /// When it does not start.
    pub fn waits_for_scripts(&self) -> ToldMachine<'_> {
        let script = format!("{}{LOOP}", way_to("http://127.0.0.1:8420"));
        let mut running = self.start(&script, "").with_patience(PATIENCE);
        running.wait_for("<== ready");
        ToldMachine { running, stage: self.files(), told: 0 }
    }
}

impl ToldMachine<'_> {
    /// Runs a script there, in the directory with the machine's files.
    ///
    /// # Panics
    /// When the machine goes off, or it takes too long.
    pub fn run(&mut self, stage: &Stage, script: &str) -> Ran {
        self.told += 1;
        let name = format!("block-{}", self.told);
        let path = self.stage.with_extension("script");
        std::fs::write(&path, format!("# {name}\n{script}\n# end\n")).expect("own directory");
        let mut sent = stage
            .within(&["--net"], "busybox")
            .args(["nc", "-l", "-p", PORT])
            .stdin(File::open(&path).expect("own file"))
            .stdout(Stdio::null())
            .spawn()
            .expect("busybox-static is installed");
        self.running.wait_for(&format!("<== {name} "));
        let ended =
            wait_until("the sender's end", SHORT_LIMIT, || sent.try_wait().expect("a child"));
        assert!(ended.success(), "busybox nc: {ended}");
        self.running.said().of(&name)
    }

    /// Switches it off.
    pub fn off(self) {
        self.running.cut();
    }
}
