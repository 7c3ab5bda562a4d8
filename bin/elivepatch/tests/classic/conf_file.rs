use super::*;

#[test]
fn conf_file_gives_what_the_command_line_does_not() {
    for spelling in ["-c", "--conf_file"] {
        let (desk, server) = (Desk::new(), Double::start(success()));
        gentoo(&desk);
        let text = format!(
            "[Defaults]\nurl = {}\npatch: meminfo.patch\nconfig = config_5.1.6\n\
             kernel_version = 5.1.6\nlog_output = e.log\ndebug = info\ncve = false\n",
            server.url
        );
        desk.write("e.conf", text.as_bytes());
        desk.run(&[spelling, "e.conf"]);
        assert_eq!(release_sent(&server), "5.1.6-gentoo-mine");
        assert!(desk.path().join("e.log").exists());
        let again = success().connections;
        server.change(|script| script.connections = again);
        desk.run(&[spelling, "e.conf", "-k", "config", "-a", RELEASE]).expect(0, &[]);
        assert_eq!(release_sent(&server), RELEASE, "the command line wins");
    }
}

#[test]
fn conf_file_can_ask_for_cve_mode() {
    let (desk, server) = (Desk::new(), Double::start(cve::with(CveScript::finished())));
    let text = format!("[Defaults]\ncve = true\nclear = yes\nurl = {}\n", server.url);
    desk.write("e.conf", text.as_bytes());
    let ended = desk.run(&["-c", "e.conf", "-a", RELEASE, "--output", "out"]);
    ended.expect(5, &["run 3 on"]);
}

#[test]
fn conf_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let desk = Desk::new();
    for (text, parts) in [
        ("url = a\n", ["lines before its first section", "[Defaults]"]),
        ("[Other]\n", ["no section [Defaults]", "hint: "]),
        ("[Defaults]\nkernel_version = ../x\n", ["invalid value '../x'", "--help"]),
        ("[Defaults]\ncve = perhaps\n", ["neither on nor off: perhaps", "cve = true"]),
        ("[Defaults]\nfacts = f\nconfig = c\npatch = p\n", ["cannot be used with", "--help"]),
    ] {
        desk.write("e.conf", text.as_bytes());
        desk.run(&["-c", "e.conf", "-u", "127.0.0.1:1"]).expect(1, &parts);
        desk.run(&["-c", "e.conf"]).expect(1, &["e.conf"]);
    }
    desk.write("e.conf", b"[Defaults]\n\xff\n");
    desk.run(&["-c", "e.conf"]).expect(1, &["cannot read the config file e.conf", "--conf_file"]);
    desk.write("e.conf", &vec![b'#'; 70_000]);
    desk.run(&["-c", "e.conf"]).expect(1, &["more than 65536 bytes"]);
    desk.run(&["-c", "none.conf"]).expect(1, &["cannot read the config file none.conf"]);
}

#[test]
fn key_that_is_no_option_is_told_and_passed_over() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    desk.write("e.conf", format!("[Defaults]\nurl = {}\ncolour = red\n", server.url).as_bytes());
    let ended = desk.run(&["-c", "e.conf", "-p", "meminfo.patch", "-k", "config"]);
    ended.expect(0, &["warning: colour in e.conf is no option of elivepatch"]);
}
