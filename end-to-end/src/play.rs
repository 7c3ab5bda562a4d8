//! Plays a page of the documentation: its blocks are run in their order, where their marks say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use elivepatch_docs::{Block, Mark, Page, Place};

use crate::{
    RELEASE, Stage, TargetMachine, make_base_ready,
    page_text::{assert_shows, last_stays, merged},
    said::Ran,
    stock_config_file,
    told_machine::ToldMachine,
};

/// The config of the server.
const CONFIG: &str = "/etc/elivepatch/server.toml";

/// A page that is to be played.
#[derive(Debug)]
pub struct Play {
    page: Page,
    stage: Stage,
    files: Vec<(String, Vec<u8>)>,
    replaced: Vec<(String, String)>,
    before: Vec<Interlude>,
}

/// What the page takes for granted at some place.
#[derive(Debug)]
struct Interlude {
    /// A text in the block before which it is done.
    needle: String,
    what: Aside,
    is_done: bool,
}

/// What is done there.
#[derive(Debug, Clone)]
enum Aside {
    Run(Place, String),
    /// A file of the server's machine is brought to the other one.
    Carry(String),
    StopServer,
    /// The server is started (again) with further keys in its config.
    Serve(String),
    /// What this prints there takes the place of a text from now on.
    Learn(String, Place, String),
}

impl Play {
    /// A page, on a stage where nothing has happened yet. The stock kernel's base is ready.
    ///
    /// # Panics
    /// When there is no such page, or no stage can be made.
    pub fn of(path: &str) -> Self {
        make_base_ready();
        let config = fs::read(stock_config_file()).expect("the config");
        let files = vec![(format!("config-{RELEASE}"), config)];
        let page = Page::read(path);
        Self { page, stage: Stage::new(), files, replaced: Vec::new(), before: Vec::new() }
    }

    /// Starts the server, or starts it again, with further keys in its config.
    ///
    /// # Panics
    /// When it does not start.
    pub fn serve(&mut self, config: &str) {
        self.write_at(Place::Server, CONFIG, config, &mut None);
        self.stage.serve("exec elivepatch-server\n");
    }

    /// The machine with the server.
    pub fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    /// Runs a script on the machine with the server, before the page begins.
    ///
    /// # Panics
    /// When it does not end with 0.
    pub fn gives(&mut self, script: &str) {
        let ran = self.stage.run(script);
        assert_eq!(ran.code, 0, "{script}\nprinted\n{}", ran.output);
    }

    /// A part of the page: what is between two texts, the first time.
    ///
    /// # Panics
    /// When it is not there.
    pub fn text_between(&self, begin: &str, end: &str) -> String {
        let part = self.page.text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
        part.unwrap_or_else(|| panic!("{}: no {begin:?}", self.page.path)).0.to_owned()
    }

    /// Gives the stage a copy of a toolchain root, made of hard links, that may be removed.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn own_toolchain_root(&mut self, name: &str) {
        let cache = self.stage.cache().join("toolchain-roots");
        let all = fs::read_link(&cache).expect("it is that of all tests");
        fs::remove_file(&cache).expect("own directory");
        fs::create_dir(&cache).expect("own directory");
        let mut copied = std::process::Command::new("cp");
        copied.args(["--archive", "--link"]).args([all.join(name), cache.join(name)]);
        assert!(copied.status().expect("cp").success(), "{name} cannot be copied");
    }

    /// With a text in the place of one that the page shows: for what is the reader's own.
    #[must_use]
    pub fn instead_of(mut self, shown: &str, own: &str) -> Self {
        self.replaced.push((shown.to_owned(), own.to_owned()));
        self
    }

    /// With a file on both machines, where the commands begin.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn file(mut self, name: &str, path: &Path) -> Self {
        let content = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.files.push((name.to_owned(), content));
        self
    }

    /// With a script that is run before the block with a text.
    #[must_use]
    pub fn before(self, needle: &str, place: Place, script: &str) -> Self {
        self.aside(needle, Aside::Run(place, script.to_owned()))
    }

    /// With a file that is brought from the server to the other machine before the block with a text.
    #[must_use]
    pub fn carry(self, needle: &str, file: &str) -> Self {
        self.aside(needle, Aside::Carry(file.to_owned()))
    }

    /// With what a script prints in the place of a text, from the block with a text on.
    #[must_use]
    pub fn learn(self, needle: &str, shown: &str, place: Place, script: &str) -> Self {
        self.aside(needle, Aside::Learn(shown.to_owned(), place, script.to_owned()))
    }

    /// With the server started, or started again, before the block with a text: with further keys in its config.
    #[must_use]
    pub fn serve_before(self, needle: &str, config: &str) -> Self {
        self.aside(needle, Aside::Serve(config.to_owned()))
    }

    /// With the server stopped before the block with a text.
    #[must_use]
    pub fn stop_server_before(self, needle: &str) -> Self {
        self.aside(needle, Aside::StopServer)
    }

    fn aside(mut self, needle: &str, what: Aside) -> Self {
        assert!(self.page.text.contains(needle), "{}: there is no {needle:?}", self.page.path);
        self.before.push(Interlude { needle: needle.to_owned(), what, is_done: false });
        self
    }

    /// Runs all that is marked to be run, and looks at what it prints where the page shows that. Gives the machine with
    /// the server as it is then.
    ///
    /// # Panics
    /// At the first block that does not do what the page says.
    pub fn runs(mut self) -> Stage {
        let home = self.stage.home();
        let own = tempfile::tempdir().expect("a directory");
        for (name, content) in &self.files {
            for directory in [own.path(), &home] {
                fs::write(directory.join(name), content).expect("own directory");
            }
        }
        let paths: Vec<(&str, PathBuf)> =
            self.files.iter().map(|(name, _)| (&**name, own.path().join(name))).collect();
        let files: Vec<(&str, &Path)> = paths.iter().map(|(name, path)| (*name, &**path)).collect();
        let blocks = self.page.blocks.clone();
        let has_host = blocks.iter().any(|block| place_of(block) == Some(Place::Host));
        let machine =
            has_host.then(|| TargetMachine::new(&files).in_network_of(self.stage.network()));
        let mut host = machine.as_ref().map(TargetMachine::waits_for_scripts);
        let mut last = None;
        let mut played = 0;
        for block in &blocks {
            self.interludes_before(block, &mut host);
            if let Some(mark) = &block.mark {
                played += usize::from(matches!(mark, Mark::Run { .. }));
                last = self.plays(block, mark, &mut host, last);
            }
        }
        if let Some(host) = host {
            host.off();
        }
        assert!(played > 0, "{}: nothing is marked to be run", self.page.path);
        for interlude in &self.before {
            let (path, needle) = (&self.page.path, &interlude.needle);
            assert!(interlude.is_done, "{path}: {needle:?} is in no block");
        }
        self.stage
    }

    /// Plays one block. Gives what was printed last.
    fn plays(
        &mut self,
        block: &Block,
        mark: &Mark,
        host: &mut Option<ToldMachine<'_>>,
        last: Option<Ran>,
    ) -> Option<Ran> {
        match mark {
            Mark::Run { place: Place::Package, .. } => {}
            Mark::NotRun(reason) => println!("not run: {block}: {reason}"),
            Mark::Unknown(mark) => panic!("{block}: {mark:?} is no mark"),
            Mark::Run { stays: true, .. } => {
                println!("== {block}");
                let script = last_stays(&self.own_words(&block.script()));
                self.stage.serve(&script);
            }
            Mark::Run { place, stays: false } => {
                let script = self.own_words(&block.script());
                println!("== {block}\n{script}");
                let ran = self.run_at(*place, &script, host);
                println!("{}", ran.output);
                assert_eq!(ran.code, 0, "{block}:\n{script}\nprinted\n{}", ran.output);
                if block.language == "crontab" {
                    // Cron runs it again, and mails all that is printed.
                    let again = self.run_at(*place, &script, host);
                    assert_eq!((again.code, &*again.output), (0, ""), "{block}: once more");
                }
                return Some(ran);
            }
            Mark::Write { place, path } => {
                self.write_at(*place, path, &self.own_words(&block.text), host);
            }
            Mark::Output => {
                let ran = last.as_ref().expect("a block before it was run");
                assert_shows(block, &self.own_words(&block.text), &ran.output);
            }
        }
        last
    }

    /// Does what is to be done before a block.
    fn interludes_before(&mut self, block: &Block, host: &mut Option<ToldMachine<'_>>) {
        for number in 0..self.before.len() {
            let interlude = &mut self.before[number];
            if interlude.is_done || !block.text.contains(&interlude.needle) {
                continue;
            }
            interlude.is_done = true;
            let must = |ran: Ran| {
                assert_eq!(ran.code, 0, "before {block}:\n{}", ran.output);
                ran.output
            };
            match interlude.what.clone() {
                Aside::StopServer => self.stage.stop_server(),
                Aside::Serve(config) => self.serve(&config),
                Aside::Run(place, script) => {
                    must(self.run_at(place, &self.own_words(&script), host));
                }
                Aside::Carry(name) => {
                    let text = must(self.stage.run(&format!("cat {name}")));
                    self.write_at(Place::Host, &name, &text, host);
                }
                Aside::Learn(shown, place, script) => {
                    let learnt = must(self.run_at(place, &self.own_words(&script), host));
                    // Before what is more general.
                    self.replaced.insert(0, (shown, learnt.trim().to_owned()));
                }
            }
        }
    }

    fn run_at(&self, place: Place, script: &str, host: &mut Option<ToldMachine<'_>>) -> Ran {
        match place {
            Place::Server | Place::Client => self.stage.run(script),
            Place::Host => host.as_mut().expect("it was started").run(&self.stage, script),
            Place::Package => panic!("scripts/test-packages.sh runs that"),
        }
    }

    fn write_at(&self, place: Place, path: &str, text: &str, host: &mut Option<ToldMachine<'_>>) {
        if place == Place::Host {
            let ran = self.run_at(
                place,
                &format!("cat >{path} <<'END OF FILE'\n{text}END OF FILE\n"),
                host,
            );
            assert_eq!(ran.code, 0, "{path}: {}", ran.output);
        } else {
            let there = self.stage.run(&format!("cat {path} 2>/dev/null || true")).output;
            self.stage.write(path, &merged(&there, text));
        }
    }

    /// The text with the reader's own in the place of what is shown.
    fn own_words(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (shown, own)| text.replace(shown, own))
    }
}

fn place_of(block: &Block) -> Option<Place> {
    match &block.mark {
        Some(Mark::Run { place, .. } | Mark::Write { place, .. }) => Some(*place),
        _ => None,
    }
}
