use elivepatch_model::BuildKey;

use crate::FixText;

/// The longest module name: the kernel's `MODULE_NAME_LEN` (56 bytes on 64-bit) less the final
/// zero, as kpatch-build keeps to.
const NAME_BYTES: usize = 55;

/// Names the module after its (first) fix, for people, and after the build key, so that two
/// livepatches never have the same name.
pub(crate) fn module_name(fixes: &[FixText], key: &BuildKey) -> String {
    let key = &key.to_string()[..8];
    let fix = fixes.first().map_or("patch", |fix| fix.fix.name.as_str());
    let fix = fix.strip_suffix(".patch").or_else(|| fix.strip_suffix(".diff")).unwrap_or(fix);
    let mut words: String = fix
        .chars()
        .map(|character| match character {
            'a'..='z' | '0'..='9' => character,
            'A'..='Z' => character.to_ascii_lowercase(),
            _ => '_',
        })
        .collect();
    words.truncate(NAME_BYTES - "livepatch__".len() - key.len());
    format!("livepatch_{words}_{key}")
}

#[cfg(test)]
mod tests {
    use elivepatch_model::{Fix, Sha256Digest};

    use super::*;

    fn name_of(fix: &str) -> String {
        let digest = Sha256Digest::of(b"x");
        let fix = FixText { fix: Fix { name: fix.to_owned(), digest }, text: Vec::new() };
        module_name(&[fix], &BuildKey(digest))
    }

    #[test]
    fn name_is_readable_and_unique() {
        assert_eq!(name_of("meminfo-label.patch"), "livepatch_meminfo_label_2d711642");
    }

    #[test]
    fn any_name_gives_a_valid_module_name() {
        for name in ["", "../../etc/passwd", "Ä ö\n", &"x".repeat(300)] {
            let module = name_of(name);
            assert!(module.len() <= NAME_BYTES, "{module}");
            assert!(module.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{module}");
        }
    }
}
