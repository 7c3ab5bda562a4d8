//! The options of the first elivepatch's server, for its service files and scripts.

use std::net::{IpAddr, Ipv4Addr};

use camino::Utf8PathBuf;
use clap::Args;
use elivepatch_server::config::TlsOverride;

/// What the first elivepatch called the certificate that the server makes itself.
const ADHOC: &str = "adhoc";

/// The options of the first elivepatch's server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the first elivepatch")]
pub struct OldArguments {
    /// Listen on this address, with the port of the config.
    #[arg(short = 'H', long, value_name = "ADDRESS", value_parser = host, conflicts_with = "listen")]
    pub host: Option<IpAddr>,
    /// Listen on this port, on the address of the config.
    #[arg(short = 'P', long, value_name = "PORT", conflicts_with = "listen")]
    pub port: Option<u16>,
    /// Run so many compilers in a build, whatever the config says; 0 is one for each core.
    #[arg(short, long, value_name = "NUMBER")]
    pub jobs: Option<u32>,
    /// Say more in the log, as RUST_LOG=debug does.
    #[arg(short, long)]
    pub debug: bool,
    /// Taken, and nothing comes of it: requests are answered at the same time anyway. The first elivepatch's server did
    /// nothing about it either.
    #[arg(short = 'T', long = "threaded", hide = true)]
    _threaded: bool,
    /// Encrypt connections with this certificate, a PEM file; or with one that the server makes itself.
    #[arg(short = 'C', long, value_name = "FILE|adhoc")]
    ssl_cert: Option<Utf8PathBuf>,
    /// The key of that certificate, a PEM file.
    #[arg(short = 'K', long, value_name = "FILE", requires = "ssl_cert")]
    ssl_key: Option<Utf8PathBuf>,
}

impl OldArguments {
    /// The certificate that is named; `absolute` makes paths of the command line absolute.
    ///
    /// # Errors
    /// When certificate and key do not go together, in words for who gave them.
    pub fn tls(
        &self,
        absolute: impl Fn(&Utf8PathBuf) -> Utf8PathBuf,
    ) -> Result<Option<TlsOverride>, &'static str> {
        match (&self.ssl_cert, &self.ssl_key) {
            (None, _) => Ok(None),
            (Some(certificate), None) if certificate == ADHOC => Ok(Some(TlsOverride::Own)),
            (Some(certificate), Some(_)) if certificate == ADHOC => Err(
                "--ssl-cert adhoc has a key of its own: leave --ssl-key out, or name a certificate's file",
            ),
            (Some(_), None) => Err(
                "the certificate of --ssl-cert needs its key: add --ssl-key FILE, or take --ssl-cert adhoc",
            ),
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (absolute(certificate), absolute(key));
                Ok(Some(TlsOverride::Files { certificate, key }))
            }
        }
    }
}

/// Reads an address, or the name that every machine has for itself.
fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        other => {
            let address = other.trim_start_matches('[').trim_end_matches(']').parse();
            address
                .map_err(|_| "give an address of this machine, such as 0.0.0.0 or ::1".to_owned())
        }
    }
}
