//! Gentoo's ebuilds. Nothing here has Gentoo: a script stands in for `ebuild`. It is called as that is, in
//! the real sandbox with what the real one would see, and leaves what that would leave. That the
//! real `ebuild` does its work there is not shown.

use super::*;
use crate::source::test_place::TestPlace;

/// What `ebuild FILE clean unpack prepare` does for a package of kernel sources, as far as one sees it
/// from outside.
const STAND_IN: &str = r#"#!/bin/sh
set -e
echo "ebuild $*"
[ "$2 $3 $4" = "clean unpack prepare" ]
package=$(basename "$1" .ebuild)
version=${package#gentoo-sources-}
revision=${version#*-}
[ "$revision" != "$version" ] && revision=-$revision || revision=
version=${version%%-*}
[ -r "$1" ] && [ -r /var/db/repos/gentoo/eclass/kernel-2.eclass ]
! touch /var/db/repos/gentoo/written 2> /dev/null
! touch "$PORTAGE_RO_DISTDIRS/written" 2> /dev/null
[ ! -e /etc/portage/patches/mine ]
case "$FEATURES" in *-network-sandbox*) ;; *) exit 1 ;; esac
# The digest of the Manifest, as portage checks it.
grep "^DIST linux-$version.tar " "$(dirname "$1")/Manifest" | (
    read kind name size hash digest
    [ -r "$PORTAGE_RO_DISTDIRS/$name" ] || { echo "!!! Couldn't download '$name'. Aborting."; exit 1; }
    echo "$digest  $PORTAGE_RO_DISTDIRS/$name" | sha256sum --check --status ||
        { echo "!!! Digest verification failed: $name"; exit 1; }
)
work=$PORTAGE_TMPDIR/portage/sys-kernel/$package/work
mkdir -p "$work"
cd "$work"
tar -xf "$PORTAGE_RO_DISTDIRS/linux-$version.tar"
mv "linux-$version" "linux-$version-gentoo$revision"
echo "EXTRAVERSION = -gentoo$revision" >> "linux-$version-gentoo$revision/Makefile"
"#;

struct Setting {
    place: TestPlace,
    options: PortageOptions,
}

impl Setting {
    fn new(stand_in: &str) -> Self {
        let place = TestPlace::new();
        let (repository, distfiles) =
            (place.directory.join("repository"), place.directory.join("distfiles"));
        let package = "sys-kernel/gentoo-sources".to_owned();
        let options = PortageOptions { root: "/".into(), repository, distfiles, package };
        let setting = Self { place, options };
        setting.write("ebuild", stand_in);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(setting.place.directory.join("ebuild"), mode).expect("own file");
        setting.write("repository/eclass/kernel-2.eclass", "# of all kernels\n");
        setting.write("src/linux-6.12.31/Makefile", "VERSION = 6\n");
        fs_err::create_dir(setting.place.directory.join("distfiles")).expect("own directory");
        let tarball = setting.place.directory.join("distfiles/linux-6.12.31.tar");
        let made = std::process::Command::new("tar")
            .args(["--create", "--file", tarball.as_str(), "--directory"])
            .arg(setting.place.directory.join("src"))
            .arg("linux-6.12.31")
            .status();
        assert!(made.expect("tar is installed").success());
        let digest = crate::digest_file::digest_file(&tarball).expect("own file");
        let package = "repository/sys-kernel/gentoo-sources";
        setting.write(&format!("{package}/gentoo-sources-6.12.31.ebuild"), "EAPI=8\n");
        setting.write(&format!("{package}/gentoo-sources-6.12.31-r1.ebuild"), "EAPI=8\n");
        let manifest = format!("DIST linux-6.12.31.tar 10240 SHA256 {digest}\n");
        setting.write(&format!("{package}/Manifest"), &manifest);
        setting
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.place.directory.join(name);
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs_err::write(path, text).expect("own file");
    }

    fn find(&self, release: &str) -> Result<TreeFacts, Failure> {
        let release = release.parse().expect("a release");
        let tools = self.place.tools();
        let stand_in = self.place.directory.join("ebuild");
        let options = &self.options;
        Portage { options, release: &release, tools, stand_in: Some(&stand_in) }.find()
    }

    fn leftovers(&self) -> Vec<String> {
        let entries = self.place.cache.sources().read_dir_utf8().expect("own directory").flatten();
        let names = entries.map(|entry| entry.file_name().to_owned());
        names.filter(|name| name.starts_with("portage-") && !name.ends_with(".lock")).collect()
    }
}

#[test]
fn source_is_what_the_ebuild_of_the_release_prepares() {
    let setting = Setting::new(STAND_IN);
    let facts = setting.find("6.12.31-gentoo-r1").expect("it is prepared");
    assert_eq!(facts.name(), "linux-6.12.31-gentoo-r1");
    let makefile = fs_err::read_to_string(facts.path.join("Makefile")).expect("a file");
    assert_eq!(makefile, "VERSION = 6\nEXTRAVERSION = -gentoo-r1\n");
    let record = facts.record();
    assert_eq!((record.kind.as_str(), record.version.as_str()), ("portage", "6.12.31-r1"));
    // What follows is of whoever built it.
    let plain = setting.find("6.12.31-gentoo-x86_64").expect("it is prepared");
    assert_eq!(plain.record().version, "6.12.31");
    assert_ne!(plain.digest, facts.digest);
    assert_eq!(setting.leftovers().len(), 2);

    // It is prepared once; another ebuild is prepared anew.
    setting.write("ebuild", "#!/bin/sh\nexit 1\n");
    assert_eq!(setting.find("6.12.31-gentoo-r1"), Ok(facts));
    setting
        .write("repository/sys-kernel/gentoo-sources/gentoo-sources-6.12.31-r1.ebuild", "EAPI=9\n");
    setting.find("6.12.31-gentoo-r1").expect_err("it fails now");
}

#[test]
fn release_without_an_ebuild_is_left_to_other_sources() {
    let setting = Setting::new(STAND_IN);
    for release in ["6.12.31-gentoo-r2", "6.12.32-gentoo", "6.12.31-custom", "6.12.31"] {
        let failure = setting.find(release).expect_err(release);
        assert_eq!(failure.class, FailureClass::ReleaseUnknown, "{release}: {failure:?}");
    }
    assert_eq!(setting.leftovers(), Vec::<String>::new());
}

#[test]
fn ebuild_that_fails_is_told_with_its_words_and_nothing_is_left() {
    let setting = Setting::new(STAND_IN);
    let tarball = setting.place.directory.join("distfiles/linux-6.12.31.tar");
    fs_err::write(&tarball, "another file").expect("own file");
    let failure = setting.find("6.12.31-gentoo").expect_err("another digest");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(
        failure.message.contains("gentoo-sources-6.12.31.ebuild does not prepare"),
        "{failure}"
    );
    let details = failure.details.join("\n");
    assert!(details.contains("Digest verification failed: linux-6.12.31.tar"), "{details}");
    fs_err::remove_file(tarball).expect("own file");
    let failure = setting.find("6.12.31-gentoo").expect_err("no file");
    assert!(failure.details.join("\n").contains("Couldn't download"), "{failure:?}");
    assert!(failure.hint.contains("distfiles"), "{failure:?}");
    assert_eq!(setting.leftovers(), Vec::<String>::new());
}

#[test]
fn ebuild_that_leaves_links_out_of_the_tree_or_no_tree_is_refused() {
    let work = "mkdir -p $PORTAGE_TMPDIR/portage/sys-kernel/gentoo-sources-6.12.31/work && cd $_\n";
    for (script, expected) in [
        ("mkdir linux && ln -s /etc linux/out && touch linux/Makefile", "symbolic link"),
        ("ln -s / linux", "does not have the one directory"),
        ("mkdir a b", "does not have the one directory"),
        ("mkdir linux", "has no Makefile"),
    ] {
        let work = work.replace("&& cd $_", "&& cd $PORTAGE_TMPDIR/portage/*/*/work");
        let setting = Setting::new(&format!("#!/bin/sh\n{work}{script}\n"));
        let failure = setting.find("6.12.31-gentoo").expect_err(script);
        assert_eq!(failure.class, FailureClass::SourceUnusable, "{failure:?}");
        assert!(failure.message.contains(expected), "{failure:?}");
        assert_eq!(setting.leftovers(), Vec::<String>::new());
    }
}
