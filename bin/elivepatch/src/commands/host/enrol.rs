use clap::Args;
use elivepatch_api::{
    EnrolmentRequest,
    client::{CertificatePin, Client, ClientError, ServerAccess, ServerUrl},
};
use elivepatch_host::{Enrolment, StateDirectory};
use elivepatch_model::{HostName, with_causes};
use elivepatch_signature::PublicKey;

use super::{StateArgs, host_problem};
use crate::{
    credentials::CredentialArgs,
    exit::Exit,
    output::{data, say},
    problem::{Problem, warn},
    server::{USER_AGENT, UrlArgs},
    target::{self, baseline::BaselineArgs, running::RunningKernel},
    text::{printable, shell_word},
};

/// `elivepatch enrol`.
#[derive(Debug, Args)]
pub struct EnrolArgs {
    #[command(flatten)]
    url: UrlArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// The name that this machine is to have on the server [default: its host name]
    #[arg(long, value_name = "NAME")]
    name: Option<HostName>,
    /// Take the certificate that the server shows now for its own, without having compared it
    #[arg(long, conflicts_with = "server_certificate")]
    trust_this_server: bool,
    /// Enrol this machine although it is enrolled already, here or elsewhere
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// Registers this machine on a server, with a one-time token.
pub async fn run(arguments: &EnrolArgs) -> Result<Exit, Problem> {
    let url = arguments.url.read()?;
    if !url.is_encrypted() && !url.is_loopback() {
        return Err(Problem::from_client(&ClientError::Unencrypted { url: url.to_string() }, &url));
    }
    let Some(token) = arguments.credentials.token()? else {
        return Err(Problem::usage("a machine is enrolled with a one-time token").hint(
            "on the server: elivepatch-server token create --role host; then here: --token-file FILE",
        ));
    };
    let given = arguments.credentials.certificate()?;
    if given.is_some() && !url.is_encrypted() {
        return Err(Problem::usage(format!("{url} has no certificate: it is not encrypted"))
            .hint("write its address with https://, or leave --server-certificate out"));
    }
    let name = arguments.name.clone().map_or_else(host_name, Ok)?;
    // Before the token is used up: that what comes of it can be written down.
    let directory = arguments.state.directory();
    let lock = directory.lock().map_err(|problem| host_problem(&problem))?;
    if !arguments.again {
        refuse_second(&directory)?;
    }
    let certificate = match given {
        None if url.is_encrypted() => know(&url, arguments.trust_this_server, &name).await?,
        given => given,
    };
    let kernel = target::collect_facts(&RunningKernel::inspect(), None, &BaselineArgs::default())?;
    let problem = |error: ClientError| Problem::from_client(&error, &url);
    let access = ServerAccess { token: None, certificate };
    let client = Client::over_http_as(url.clone(), USER_AGENT, &access).map_err(problem)?;
    let request = EnrolmentRequest { name, target: kernel.facts };
    let asked_name = request.name.clone();
    let answer = client.enrol(&token.reveal(), &request).await.map_err(|error| match error {
        // The server may have done it: the token is used up then, and the name taken.
        ClientError::Lost { .. } => problem(error).hint(format!(
            "try it again; when the token was used, on the server: elivepatch-server token create --role host \
             --host {asked_name}, and enrol with that"
        )),
        error => problem(error),
    })?;
    if let Some(key) = &answer.manifest_key {
        PublicKey::parse(key).map_err(|error| {
            Problem::new(Exit::Server, "the server's key for manifests cannot be used")
                .caused_by(&error)
        })?;
    }
    let mut enrolment = Enrolment::new(url.to_string(), answer.name, answer.token);
    enrolment.tags = answer.tags;
    enrolment.server_certificate = certificate.map(|pin| pin.to_string());
    enrolment.manifest_key = answer.manifest_key;
    directory.enrol(&lock, &enrolment).map_err(|problem| {
        let name = &enrolment.name;
        host_problem(&problem).hint(format!(
            "mend that; then on the server: elivepatch-server token create --role host --host {name}, and \
             enrol again with it"
        ))
    })?;
    let tags: Vec<&str> = enrolment.tags.iter().map(|tag| tag.as_str()).collect();
    let tags = match tags.is_empty() {
        true => String::new(),
        false => format!(", with the tags {}", tags.join(", ")),
    };
    if enrolment.manifest_key.is_none() {
        warn("the server signs no manifests: what it sends is not verified by a key");
    }
    data(&format!("enrolled at {url} as {}{tags}", enrolment.name))?;
    Ok(Exit::Done)
}

fn refuse_second(directory: &StateDirectory) -> Result<(), Problem> {
    let enrolled = directory.enrolment().map_err(|problem| host_problem(&problem))?;
    let Some(Enrolment { url, name, .. }) = enrolled else { return Ok(()) };
    Err(Problem::input(format!(
        "this machine is enrolled already, at {} as {name}",
        printable(&url)
    ))
    .hint("to enrol it anew, add --again; the server must have forgotten it, or the token name it"))
}

/// By which certificate the server is to be known from now on; `None`: by one that the system trusts.
async fn know(
    url: &ServerUrl,
    trust: bool,
    name: &HostName,
) -> Result<Option<CertificatePin>, Problem> {
    let problem = |error: &ClientError| Problem::from_client(error, url);
    // Without a token: nothing is told to a server that is not known.
    let asked = match Client::over_http(url.clone(), USER_AGENT) {
        Ok(client) => client.health().await.map(drop),
        Err(error) => Err(error),
    };
    let error = match asked {
        Ok(()) => return Ok(None),
        Err(error) if is_of_the_certificate(&error) => error,
        Err(error) => return Err(problem(&error)),
    };
    let seen = Client::certificate_of(url.clone(), USER_AGENT).await;
    let seen = seen.map_err(|error| problem(&error))?;
    if trust {
        warn(&format!("nobody has compared the certificate of {url}: {seen}"));
        return Ok(Some(seen));
    }
    let command = format!(
        "elivepatch enrol --url {} --name {name} --server-certificate {seen} --token-file FILE",
        shell_word(url.as_str())
    );
    say(&format!("the server at {url} has the certificate {seen}"));
    Err(Problem::input(format!("it is not known whether the certificate of {url} is its own"))
        .caused_by(&root_of(&error))
        .hint(format!("compare it with: elivepatch-server certificate (on the server); when it is the same: {command}")))
}

/// Whether a call failed because the server's certificate is not one that the system trusts.
pub fn is_of_the_certificate(error: &ClientError) -> bool {
    let text = with_causes(error);
    // What rustls says, of the server's certificate and of a machine that has no roots.
    text.contains("invalid peer certificate") || text.contains("No CA certificates")
}

/// The innermost cause alone.
fn root_of(error: &ClientError) -> std::io::Error {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    std::io::Error::other(innermost.to_string())
}

/// The machine's own name.
fn host_name() -> Result<HostName, Problem> {
    let system = rustix::system::uname();
    let text = system.nodename().to_string_lossy();
    text.parse().map_err(|error| {
        Problem::input("the host name of this machine cannot be its name on the server")
            .caused_by(&error)
            .hint("give another one with --name NAME")
    })
}
