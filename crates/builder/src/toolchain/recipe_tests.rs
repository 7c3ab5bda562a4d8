use super::*;

const GCC_14: &str = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0";

/// The names of the recipes that serve a config.
fn serving(compiler_text: &str, config: &str) -> Vec<String> {
    let config = format!("CONFIG_CC_VERSION_TEXT=\"{compiler_text}\"\n{config}");
    let config = KernelConfig::parse(config.as_bytes()).expect("a valid config");
    let recipes = Recipe::shipped().into_iter();
    recipes
        .filter(|recipe| recipe.serves(compiler_text, &config))
        .map(|recipe| recipe.name)
        .collect()
}

#[test]
fn shipped_recipes_are_valid_and_have_names_of_their_own() {
    let recipes = Recipe::shipped();
    let mut names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), recipes.len());
}

#[test]
fn config_is_served_by_the_one_recipe_with_its_compilers() {
    let gcc_12 = "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";
    assert_eq!(serving(gcc_12, ""), ["debian-12-gcc-12"]);
    // Debian 12 has kernels of Debian 13, and compiles them with its own compiler.
    assert_eq!(serving(gcc_12, "CONFIG_RUSTC_VERSION=0\n"), ["debian-12-gcc-12"]);
    assert_eq!(serving(GCC_14, "CONFIG_RUSTC_VERSION=0\n"), ["debian-13-gcc-14"]);
    assert_eq!(serving("gcc-14 (Debian 14.2.0-19) 14.2.0", ""), Vec::<String>::new());
}

#[test]
fn config_that_was_made_with_rust_is_served_with_that_rust_only() {
    let with_rust = |text: &str| {
        let text = format!(
            "CONFIG_RUSTC_VERSION=108501\nCONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"{text}\"\n"
        );
        serving(GCC_14, &text)
    };
    let debian = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)";
    assert_eq!(with_rust(debian), ["debian-13-gcc-14-rust"]);
    assert_eq!(with_rust("rustc 1.96.1 (x)"), Vec::<String>::new());
    assert_eq!(serving(GCC_14, "CONFIG_RUSTC_VERSION=108501\n"), ["debian-13-gcc-14-rust"]);
}

#[test]
fn unknown_field_is_refused_by_name() {
    let error = Recipe::parse("name = \"x\"\ncolour = 1\n").expect_err("unknown field");
    assert!(error.to_string().contains("colour"), "{error}");
}

#[test]
fn each_compiler_of_debian_is_served_by_its_own_root() {
    assert_eq!(serving("gcc-11 (Debian 11.3.0-12) 11.3.0", ""), ["debian-12-gcc-11"]);
    assert_eq!(serving("gcc-13 (Debian 13.3.0-13) 13.3.0", ""), ["debian-13-gcc-13"]);
    // Debian 12's 6.12 is compiled under the long name.
    let long = "x86_64-linux-gnu-gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";
    assert_eq!(serving(long, ""), ["debian-12-gcc-12-triplet"]);
    // Both have a gcc-12; which patch level is the target's shows when the root is there.
    let two = ["debian-12-gcc-12", "debian-13-gcc-12"];
    assert_eq!(serving("gcc-12 (Debian 12.4.0-5) 12.4.0", ""), two);
    assert_eq!(serving("Debian clang version 19.1.7 (3+b1)", ""), ["debian-13-clang-19"]);
}

const BEGINNING: &str = "name = \"mine\"\narchitecture = \"x86_64\"\n\
    compiler_text_begins = \"gcc (Gentoo\"\ncompiler = \"gcc\"\n";

#[test]
fn root_comes_from_one_place_of_each_kind() {
    let zeros = "0".repeat(64);
    let kind = |more: &str| {
        let text = format!("{BEGINNING}{}", more.replace("ZEROS", &zeros));
        Recipe::parse(&text).map(|recipe| recipe.origin.kind()).map_err(|e| e.to_string())
    };
    assert_eq!(kind("[tarball]\npath = \"/x.tar\"\nsha256 = \"ZEROS\"\n"), Ok("tarball"));
    assert_eq!(kind("[oci]\npath = \"/x\"\ndigest = \"ZEROS\"\n"), Ok("oci"));
    assert_eq!(kind("[host]\n"), Ok("host"));
    assert_eq!(kind("suites = [\"sid\"]\npackages = []\n"), Ok("debian"));
    let refused = |more: &str, said: &str| {
        let error = kind(more).expect_err(more);
        assert!(error.contains(said), "{error}");
    };
    refused("", "does not say where the root comes from");
    refused("suites = [\"sid\"]\n", "it goes with packages");
    refused("suites = [\"sid\"]\npackages = []\n[host]\n", "from debian and host");
    refused("[tarball]\npath = \"x.tar\"\nsha256 = \"ZEROS\"\n", "not an absolute path");
    refused("[tarball]\npath = \"/x.tar\"\nsha256 = \"0\"\n", "sha256");
    refused("[host]\nroot = \"/\"\n", "root");
    refused("[host]\n[[unpack]]\nsuite = \"sid\"\npackage = \"x\"\n", "nothing is unpacked");
    refused("suites = [\"sid\"]\npackages = [\"gcc --force\"]\n", "\"gcc --force\" is not");
    refused("make_flags = [\"KCFLAGS=-O0\"]\n[host]\n", "make_flags: \"KCFLAGS=-O0\"");
    refused("make_flags = [\"LD=$(shell id)\"]\n[host]\n", "make_flags: ");
    let escaping = BEGINNING.replace("\"mine\"", "\"../mine\"") + "[host]\n";
    let error = Recipe::parse(&escaping).expect_err("it would leave the cache");
    assert!(error.to_string().contains("name: \"../mine\""), "{error}");
}

#[test]
fn recipes_of_a_directory_are_read_and_each_problem_names_its_file() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    let write = |name: &str, text: &str| {
        fs_err::write(directory.join(name), text).expect("own file");
    };
    let read = || Recipe::read_directory(directory, &Recipe::shipped());
    write("b.toml", &format!("{BEGINNING}[host]\n"));
    write("README", "not a recipe");
    let names: Vec<String> = read().expect("valid").into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["mine"]);
    for (text, said) in [
        (format!("{BEGINNING}[host]\n"), "another recipe is called mine"),
        (BEGINNING.replace("mine", "debian-13-gcc-14") + "[host]\n", "another recipe is called"),
        ("x = 1".to_owned(), "unknown field"),
    ] {
        write("c.toml", &text);
        let error = read().expect_err(said);
        assert!(error.to_string().contains("c.toml cannot be used"), "{error}");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains(said), "{cause}");
    }
}

#[test]
fn template_is_a_recipe_for_each_kind_when_its_comment_signs_are_taken_away() {
    let template = include_str!("../../recipes/template.toml");
    let parts: Vec<&str> = template.split("\n#= ").collect();
    let kinds: Vec<&str> = parts[1..]
        .iter()
        .map(|part| {
            // "#key" is a key, "# text" is a comment.
            let uncomment = |line: &str| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
                _ => line.to_owned(),
            };
            let own: Vec<String> = part.lines().skip(1).map(uncomment).collect();
            let text = format!("{}\n{}", parts[0], own.join("\n"));
            Recipe::parse(&text).expect("a valid recipe").origin.kind()
        })
        .collect();
    assert_eq!(kinds, ["debian", "tarball", "oci", "host"]);
}
