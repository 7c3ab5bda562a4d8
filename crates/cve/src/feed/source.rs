/// The address of a feed as it may be shown: without user and password.
pub fn shown_source(source: &str) -> String {
    without_userinfo(source, source)
}

/// A text without the user and password of an address that it may name.
pub(super) fn without_userinfo(text: &str, source: &str) -> String {
    match userinfo(source) {
        Some(userinfo) if !userinfo.is_empty() => text.replace(&format!("{userinfo}@"), ""),
        _ => text.to_owned(),
    }
}

/// `USER:PASSWORD` of `SCHEME://USER:PASSWORD@HOST/PATH`.
fn userinfo(source: &str) -> Option<&str> {
    let (_, rest) = source.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(authority.rsplit_once('@')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_shown_without_user_and_password() {
        for (source, shown) in [
            ("https://me:s3cret@example.org/vulns.git", "https://example.org/vulns.git"),
            ("https://me:p@ss@example.org:8443/v", "https://example.org:8443/v"),
            ("ssh://git@example.org/v", "ssh://example.org/v"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://@example.org/v", "https://@example.org/v"),
            ("/srv/vulns", "/srv/vulns"),
        ] {
            assert_eq!(shown_source(source), shown);
        }
        let said = "fatal: unable to access 'https://me:pw@host/': no";
        assert!(!without_userinfo(said, "https://me:pw@host/").contains("pw"));
    }
}
