use elivepatch_model::with_causes;
use elivepatch_server::{
    ServerConfig,
    config::Places,
    tls::{MadeCertificate, ServerCertificate, TlsError, make_certificate},
};

use super::{load_config, make_directory};
use crate::{arguments::Arguments, error::CommandError, owner, report};

/// Shows the fingerprint by which clients know the server. A certificate that the server would make at its start is
/// made now.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let Some(certificate) = open(&config)? else {
        return Err(CommandError::input(
            anyhow::anyhow!("connections to {} are not encrypted", config.listen),
            "set enabled = true under [tls] in the config",
        ));
    };
    report::say(&format!("certificate: {}", certificate.path()));
    anstream::println!("{}", certificate.fingerprint());
    Ok(())
}

/// The certificate of a server whose connections are encrypted. When the config names none, and the server has
/// made none yet, it is made now.
pub fn open(config: &ServerConfig) -> Result<Option<ServerCertificate>, CommandError> {
    if !config.encrypts() {
        return Ok(None);
    }
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        let read = ServerCertificate::read(certificate, key);
        return read.map(Some).map_err(|error| {
            let hint = match error {
                TlsError::Unusable { .. } => "give a certificate and its own key in [tls]",
                _ => {
                    "correct [tls] in the config, or leave both out: the server then makes its own"
                }
            };
            CommandError::input(error, hint)
        });
    }
    let place = MadeCertificate::of(&config.data_directory);
    if !place.exists() {
        owner::become_owner_of(&config.data_directory)?;
        make_directory(&config.data_directory)?;
        make_certificate(&place, config.listen.ip())
            .map_err(|error| CommandError::failed(error, "look at the data directory"))?;
    }
    let read = ServerCertificate::read(&place.certificate, &place.key);
    read.map(Some).map_err(|error| {
        let hint = format!(
            "look whether this user may read {0} and {1} (chown); only when they are lost for good: rm {0} {1} has a \
             new pair made, and all hosts must be enrolled again",
            place.certificate, place.key
        );
        CommandError::input(error, hint)
    })
}

/// The options by which a client finds and knows this server, as far as they are known here.
pub fn client_options(config: &ServerConfig) -> String {
    let encrypts = config.encrypts();
    let scheme = if encrypts { "https" } else { "http" };
    let host = match config.listen.ip() {
        address if address.is_unspecified() => "THIS-SERVER".to_owned(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        address => address.to_string(),
    };
    let url = format!("--url {scheme}://{host}:{}", config.listen.port());
    // One that was given may be signed by somebody whom clients trust.
    let is_own = encrypts && config.tls.certificate.is_none();
    match is_own.then(|| open(config)) {
        Some(Ok(Some(certificate))) => {
            format!("{url} --server-certificate {}", certificate.fingerprint())
        }
        Some(Err(error)) => {
            report::warn(&format!("no fingerprint: {}", with_causes(&error)));
            url
        }
        _ => url,
    }
}
