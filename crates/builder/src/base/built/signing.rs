//! Options that name keys: files of whoever built the target, which nobody else has.

/// Options that name a file with keys or certificates, with the value that needs no such file.
/// They decide what a kernel trusts and how its modules are signed, not how code is compiled.
const KEYS: [(&str, &str); 4] = [
    ("CONFIG_MODULE_SIG_KEY", "certs/signing_key.pem"),
    ("CONFIG_SYSTEM_TRUSTED_KEYS", ""),
    ("CONFIG_SYSTEM_REVOCATION_KEYS", ""),
    ("CONFIG_SYSTEM_BLACKLIST_HASH_LIST", ""),
];

/// The config without the names of files that are not in the tree, and the options that were
/// changed by that. `exists` says whether the tree has a file.
pub(super) fn without_foreign_keys(
    config: &str,
    exists: &dyn Fn(&str) -> bool,
) -> (String, Vec<&'static str>) {
    let mut changed = Vec::new();
    let mut text = String::with_capacity(config.len());
    for line in config.lines() {
        let key = KEYS.iter().find(|(option, _)| {
            line.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
        });
        match key {
            Some((option, usual)) => {
                let value = line[option.len() + 1..].trim_matches('"');
                if value.is_empty() || value == *usual || exists(value) {
                    text.push_str(line);
                } else {
                    changed.push(*option);
                    text.push_str(&format!("{option}=\"{usual}\""));
                }
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    (text, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_in_the_tree_are_left_out() {
        let config = "CONFIG_HZ=250\nCONFIG_MODULE_SIG_KEY=\"/etc/keys/mine.pem\"\n\
            CONFIG_SYSTEM_TRUSTED_KEYS=\"certs/own.pem\"\nCONFIG_SYSTEM_REVOCATION_KEYS=\"x.pem\"\n\
            CONFIG_SYSTEM_TRUSTED_KEYRING=y\n";
        let (text, changed) = without_foreign_keys(config, &|path| path == "certs/own.pem");
        assert_eq!(changed, ["CONFIG_MODULE_SIG_KEY", "CONFIG_SYSTEM_REVOCATION_KEYS"]);
        assert_eq!(
            text,
            "CONFIG_HZ=250\nCONFIG_MODULE_SIG_KEY=\"certs/signing_key.pem\"\n\
            CONFIG_SYSTEM_TRUSTED_KEYS=\"certs/own.pem\"\nCONFIG_SYSTEM_REVOCATION_KEYS=\"\"\n\
            CONFIG_SYSTEM_TRUSTED_KEYRING=y\n"
        );
    }
}
