use bytes::Bytes;
use elivepatch_model::Sha256Digest;

/// The longest name of a patch that is sent, in characters. File systems end at 255 bytes, and a
/// character has up to four.
const NAME_CHARACTERS: usize = 60;

/// One part of a multipart form.
pub(super) struct Part<'a> {
    pub name: &'static str,
    pub file_name: Option<&'a str>,
    pub content_type: &'static str,
    pub content: &'a [u8],
}

/// Writes a multipart form (RFC 7578) and returns its content type and body. The parts come in
/// their order.
pub(super) fn encode(parts: &[Part<'_>]) -> (String, Bytes) {
    let boundary = boundary(parts);
    let size: usize = parts.iter().map(|part| part.content.len() + 400).sum();
    let mut body = Vec::with_capacity(size);
    for part in parts {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", part.name)
                .as_bytes(),
        );
        if let Some(file_name) = part.file_name {
            body.extend_from_slice(format!("; filename=\"{}\"", safe_name(file_name)).as_bytes());
        }
        body.extend_from_slice(
            format!("\r\nContent-Type: {}\r\n\r\n", part.content_type).as_bytes(),
        );
        body.extend_from_slice(part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.into())
}

/// A text that is in none of the parts: nobody can write a part that holds a digest of itself.
fn boundary(parts: &[Part<'_>]) -> String {
    let digests: String =
        parts.iter().map(|part| Sha256Digest::of(part.content).to_string()).collect();
    format!("elivepatch-{}", &Sha256Digest::of(digests.as_bytes()).to_string()[..32])
}

/// The last component of a file name, without characters that mean something in a header.
fn safe_name(file_name: &str) -> String {
    let name: String = file_name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .chars()
        .map(|character| match character {
            '"' | '%' => '_',
            character if character.is_control() => '_',
            character => character,
        })
        .take(NAME_CHARACTERS)
        .collect();
    if name.is_empty() || name == "." || name == ".." { "patch".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part<'a>(file_name: Option<&'a str>, content: &'a [u8]) -> Part<'a> {
        Part { name: "patch", file_name, content_type: "text/x-diff", content }
    }

    #[test]
    fn parts_come_in_their_order_with_their_bytes() {
        let (content_type, body) = encode(&[part(None, b"one\r\n"), part(Some("b.patch"), b"two")]);
        let boundary = content_type.split_once("boundary=").expect("a boundary").1;
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert_eq!(
            text.replace(boundary, "B"),
            "--B\r\nContent-Disposition: form-data; name=\"patch\"\r\n\
             Content-Type: text/x-diff\r\n\r\none\r\n\r\n\
             --B\r\nContent-Disposition: form-data; name=\"patch\"; filename=\"b.patch\"\r\n\
             Content-Type: text/x-diff\r\n\r\ntwo\r\n--B--\r\n"
        );
    }

    #[test]
    fn file_name_loses_its_directories_and_what_would_end_the_header() {
        assert_eq!(safe_name("/etc/../fix.patch"), "fix.patch");
        assert_eq!(safe_name("a\"\r\nX: 1.patch"), "a___X: 1.patch");
        assert_eq!(safe_name("somewhere/.."), "patch");
        assert_eq!(safe_name(""), "patch");
    }

    proptest! {
        #[test]
        fn boundary_is_in_no_part(contents in proptest::collection::vec(any::<Vec<u8>>(), 1..4)) {
            let parts: Vec<Part> = contents.iter().map(|content| part(None, content)).collect();
            let boundary = boundary(&parts);
            for content in &contents {
                let inside = content.windows(boundary.len()).any(|window| window == boundary.as_bytes());
                prop_assert!(!inside);
            }
        }

        #[test]
        fn any_file_name_stays_one_safe_component(name in ".{0,90}") {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.chars().count() <= NAME_CHARACTERS);
            let has_special_character =
                safe.chars().any(|c| c.is_control() || matches!(c, '/' | '"' | '\\'));
            prop_assert!(!has_special_character);
        }
    }
}
