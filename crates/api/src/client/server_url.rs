use std::{fmt, str::FromStr};

use reqwest::Url;

use super::names::is_of_this_machine;

/// The address of a server: its scheme, host and port, and the path under which it is mounted.
///
/// Without a scheme (`HOST:PORT`, as the first elivepatch had it) it is `http` on the loopback
/// interface and `https` everywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Without a slash at its end.
    text: String,
    loopback: bool,
    encrypted: bool,
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// The text is empty.
    #[error("the server's address is empty")]
    Empty,
    /// The text is no URL at all.
    #[error("\"{text}\" is not the address of a server: {reason}")]
    Unreadable {
        /// The text as given, escaped.
        text: String,
        /// What the URL parser says.
        reason: String,
    },
    /// The URL has another scheme than `http` or `https`.
    #[error("\"{text}\" has the scheme {scheme}; a server speaks http or https")]
    Scheme {
        /// The text as given, escaped.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// The URL has a part that the address of a server does not have.
    #[error("\"{text}\" has a {part}, which the address of a server does not have")]
    Part {
        /// The text as given, escaped; without a password.
        text: String,
        /// The part: `user name`, `query` or `fragment`.
        part: &'static str,
    },
}

impl ServerUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether what is said travels encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ServerUrlError::Empty);
        }
        let url = if text.contains("://") {
            parse(text, text)?
        } else {
            let plain = parse(text, &format!("http://{text}"))?;
            if is_loopback(&plain) { plain } else { parse(text, &format!("https://{text}"))? }
        };
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().to_owned();
            return Err(ServerUrlError::Scheme { text: shown(text), scheme });
        }
        if !url.username().is_empty() || url.password().is_some() {
            let text = url.host_str().unwrap_or_default().to_owned();
            return Err(ServerUrlError::Part { text, part: "user name" });
        }
        for (part, present) in
            [("query", url.query().is_some()), ("fragment", url.fragment().is_some())]
        {
            if present {
                return Err(ServerUrlError::Part { text: shown(text), part });
            }
        }
        Ok(Self {
            text: url.as_str().trim_end_matches('/').to_owned(),
            loopback: is_loopback(&url),
            encrypted: url.scheme() == "https",
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn parse(given: &str, url: &str) -> Result<Url, ServerUrlError> {
    Url::parse(url).map_err(|error| ServerUrlError::Unreadable {
        text: shown(given),
        reason: error.to_string(),
    })
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => is_of_this_machine(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().expect("a valid address")
    }

    #[test]
    fn address_without_scheme_is_http_on_loopback_and_https_off_it() {
        for (text, expected) in [
            ("127.0.0.1:8420", "http://127.0.0.1:8420"),
            ("localhost:8420", "http://localhost:8420"),
            ("[::1]:8420", "http://[::1]:8420"),
            ("patches.example.org", "https://patches.example.org"),
            ("patches.example.org:5000", "https://patches.example.org:5000"),
            ("10.0.0.7:8420/", "https://10.0.0.7:8420"),
        ] {
            assert_eq!(url(text).as_str(), expected);
        }
    }

    #[test]
    fn given_scheme_and_path_are_kept() {
        let plain = url("http://patches.example.org/kernel/");
        assert_eq!(plain.as_str(), "http://patches.example.org/kernel");
        assert!(!plain.is_encrypted() && !plain.is_loopback());
        assert!(url("https://127.0.0.1:1").is_loopback());
    }

    #[test]
    fn what_is_no_server_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("ftp://example.org", "scheme ftp"),
            ("https://", "not the address of a server"),
            ("example.org:port", "not the address of a server"),
            ("https://me:secret@example.org", "user name"),
            ("https://example.org/?x=1", "query"),
            ("https://example.org/#top", "fragment"),
        ] {
            let error = text.parse::<ServerUrl>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_reads_the_same_again(text in ".{0,60}") {
            if let Ok(first) = text.parse::<ServerUrl>() {
                proptest::prop_assert_eq!(first.as_str().parse::<ServerUrl>(), Ok(first.clone()));
            }
        }
    }
}
