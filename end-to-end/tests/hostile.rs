//! Patches whose author wants the server's secrets or its time. What a patch can do to a compiler
//! is tested here; what a tool can do to its sandbox, in the builder's own tests.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use elivepatch_end_to_end::{
    ClientRun, ServerOptions, TestServer, cache_directory, make_base_ready,
};
use elivepatch_model::{FailureClass, StepName};

/// A patch that adds lines to fs/proc/version.c, after its includes.
fn adds(lines: &[String]) -> String {
    let added: String = lines.iter().map(|line| format!("+{line}\n")).collect();
    format!(
        "--- a/fs/proc/version.c\n+++ b/fs/proc/version.c\n@@ -7,6 +7,{} @@\n \
         #include <linux/utsname.h>\n #include \"internal.h\"\n \n{added} \
         static int version_proc_show(struct seq_file *m, void *v)\n {{\n \
         \tseq_printf(m, linux_proc_banner,\n",
        6 + lines.len()
    )
}

fn order(server: &TestServer, lines: &[String]) -> ClientRun {
    server.build().patch_text("hostile.patch", &adds(lines)).args(["--verbose"]).run()
}

/// Looks for a text in all that a server keeps: modules, manifests, events, failures.
fn is_kept(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).expect("the server's directory").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_kept(&path, text);
        }
        let content = fs::read(&path).unwrap_or_default();
        content.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A file with a text that is nowhere else, in the cache (which sandboxes are shown parts of).
fn secret(name: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf, String) {
    let directory = tempfile::tempdir_in(cache_directory()).expect("the cache can be written");
    let path = directory.path().join(name);
    let digits = std::process::id();
    // Put together here, so that no patch and no log has it in one piece.
    let text = format!("{}-{name}-{digits}", "marker");
    fs::write(&path, format!("{text}\n")).expect("own directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own file");
    let open = if mode == 0o644 { 0o755 } else { 0o700 };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(open)).expect("own directory");
    (directory, path, text)
}

#[test]
fn files_of_the_server_cannot_be_put_into_a_module() {
    make_base_ready();
    let (_private, private_path, private_text) = secret("private", 0o600);
    let (_public, public_path, public_text) = secret("public", 0o644);
    let server = TestServer::start(ServerOptions::default());
    let paths = [&private_path, &public_path].map(|path| path.to_str().expect("UTF-8"));
    let mut files = vec!["/etc/shadow".to_owned()];
    for path in paths {
        files.push(path.to_owned());
        files.push(format!("/proc/1/root{path}"));
        files.push(format!("/proc/self/cwd/../../../../..{path}"));
    }
    let lines: Vec<String> = files
        .iter()
        .map(|file| {
            format!("asm(\".pushsection .rodata\\n.incbin \\\"{file}\\\"\\n.popsection\");")
        })
        .collect();
    let run = order(&server, &lines);
    run.fails_with(3, FailureClass::CompileFailed);
    for file in &files {
        assert!(run.stderr.contains(file), "the compiler did not try {file}: {}", run.stderr);
    }
    for text in [private_text, public_text] {
        assert!(!run.stderr.contains(&text), "{}", run.stderr);
        assert!(!is_kept(server.data_directory(), &text), "{text} has got out");
    }
}

#[test]
fn compiler_messages_show_nothing_of_the_servers_files() {
    make_base_ready();
    let (_public, path, text) = secret("included", 0o644);
    let server = TestServer::start(ServerOptions::default());
    let include = format!("#include \"{}\"", path.display());
    let run = order(&server, &[include]);
    let said = run.fails_with(3, FailureClass::CompileFailed);
    assert!(said.contains("hostile.patch:7: fatal error: "), "{said}");
    assert!(said.contains("No such file or directory"), "{said}");
    assert!(!said.contains(&text) && !is_kept(server.data_directory(), &text), "{said}");

    // There is an /etc/passwd in the sandbox, but it is the toolchain root's.
    let inside = toolchain_users();
    assert!(inside.contains(&"root".to_owned()), "no toolchain root was found");
    let run = order(&server, &["#include \"/etc/passwd\"".to_owned()]);
    let said = run.fails_with(3, FailureClass::CompileFailed);
    for user in names(Path::new("/etc/passwd")).iter().filter(|user| !inside.contains(user)) {
        assert!(!said.contains(&format!("{user}:x:")), "{said}");
    }
}

fn toolchain_users() -> Vec<String> {
    let roots = fs::read_dir(cache_directory().join("toolchain-roots")).expect("made by a build");
    roots.flatten().flat_map(|root| names_below(&root.path())).collect()
}

/// The users in a toolchain root: its digest is the name of a directory in between.
fn names_below(root: &Path) -> Vec<String> {
    let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    below.chain([root.to_owned()]).flat_map(|path| names(&path.join("etc/passwd"))).collect()
}

fn names(passwd: &Path) -> Vec<String> {
    let text = fs::read_to_string(passwd).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

/// `limit` is a line of the server's config: small, and large enough for a patch that is meant
/// well.
fn is_stopped_while_compiling(patch: &str, limit: &str, reason: &str) {
    make_base_ready();
    let config = format!("[builder]\n{limit}\n");
    let options = ServerOptions { config, ..ServerOptions::default() };
    let server = TestServer::start(options);
    // Without --verbose: a flood of output is the server's to deal with, not the terminal's.
    let run = server.build().patch_text("bomb.patch", patch).run();
    let said = run.fails_with(3, FailureClass::LimitExceeded);
    assert!(said.contains(&format!("failed in step {}", StepName::Compile)), "{said}");
    assert!(said.contains(reason), "{said}");
    let tools = server.processes().left();
    assert!(tools.is_empty(), "still there: {tools:#?}");
    let log_bytes = sizes(server.data_directory());
    assert!(log_bytes < 64 << 20, "the server has kept {log_bytes} bytes of it");
}

fn sizes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the server's directory").flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sizes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn compiler_without_end_is_stopped_by_time() {
    // Includes itself twice, a hundred levels deep, and nothing else: neither output nor memory.
    let patch = "--- a/fs/proc/version.c\n+++ b/fs/proc/version.c\n@@ -1,6 +1,11 @@\n \
        // SPDX-License-Identifier: GPL-2.0\n #include <linux/fs.h>\n #include <linux/init.h>\n\
        +#if __INCLUDE_LEVEL__ < 100\n+#include \"version.c\"\n+#include \"version.c\"\n+#endif\n\
        +#if __INCLUDE_LEVEL__ == 0\n \
        #include <linux/kernel.h>\n #include <linux/proc_fs.h>\n #include <linux/seq_file.h>\n\
        @@ -25,3 +30,4 @@\n \treturn 0;\n }\n fs_initcall(proc_version_init);\n+#endif\n";
    is_stopped_while_compiling(patch, "build_time_limit_seconds = 20", "ran for more than 20 s");
}

#[test]
fn macro_bomb_is_stopped_by_memory() {
    // A thousand bytes, ten million times.
    let mut lines = vec![format!("#define BOMB_0 \"{}\"", "x".repeat(1000))];
    for level in 1..8 {
        lines.push(format!("#define BOMB_{level}{}", format!(" BOMB_{}", level - 1).repeat(10)));
    }
    lines.push("static const char bomb[] = BOMB_7;".to_owned());
    is_stopped_while_compiling(&adds(&lines), "memory_limit_mib = 512", "memory");
}

#[test]
fn flood_of_output_is_stopped() {
    // Includes itself twice, twenty levels deep, and warns a million times.
    let itself = "#include \"version.c\"";
    let warning = "#warning all work and no play makes a compiler a dull program";
    let lines = ["#if __INCLUDE_LEVEL__ < 20", warning, itself, itself, "#endif"];
    is_stopped_while_compiling(
        &adds(&lines.map(str::to_owned)),
        "output_limit_mib = 1",
        "printed more than 1024 KiB",
    );
}
