/// One package version as `apt-cache show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stanza {
    pub name: String,
    pub version: String,
    pub file_name: String,
    pub size_bytes: u64,
    pub sha256: String,
}

/// Reads the stanzas of `apt-cache show`, newest version first as apt prints them. A stanza that
/// lacks a field is left out: it is of a package that is installed but in no archive.
pub(super) fn read_stanzas(text: &str) -> Vec<Stanza> {
    text.split("\n\n").filter_map(read_stanza).collect()
}

fn read_stanza(text: &str) -> Option<Stanza> {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let path = field("Filename")?;
    Some(Stanza {
        name: field("Package")?,
        version: field("Version")?,
        file_name: path.rsplit('/').next().unwrap_or(&path).to_owned(),
        size_bytes: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_read_and_incomplete_ones_left_out() {
        let text = "Package: linux-source-6.1\nVersion: 6.1.176-1\nFilename: pool/l/a_6.1_all.deb\n\
            Size: 139131140\nDescription: x\n Version: 9\nSHA256: abcd\n\nPackage: local\nVersion: 1\n";
        let stanzas = read_stanzas(text);
        assert_eq!(stanzas.len(), 1);
        assert_eq!(stanzas[0].version, "6.1.176-1");
        assert_eq!(stanzas[0].file_name, "a_6.1_all.deb");
        assert_eq!(stanzas[0].size_bytes, 139_131_140);
    }
}
