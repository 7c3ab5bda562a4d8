use elivepatch_model::{Role, TokenId, printable};
use elivepatch_server::{
    ServerConfig,
    app::{NewToken, Store, StoreError, TokenKind, TokenRecord, TokenState, checked_tags},
    config::Places,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    certificate::client_options,
    feed::{of_store, open},
    load_config, wait_for,
};
use crate::{
    actor,
    arguments::{Arguments, TokenCommand, TokenCreateArguments},
    error::CommandError,
    report,
};

/// For how long a token enrols a host when nothing is said: a working day, and the night before it.
const ENROLMENT_LASTS: SignedDuration = SignedDuration::from_hours(24);

/// The longest name of a token, in characters.
const NAME_CHARACTERS: usize = 100;

/// A token as `--json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    record: &'a TokenRecord,
    state: TokenState,
}

/// Makes, lists and revokes tokens. The server may run or not.
pub fn run(arguments: &Arguments, command: &TokenCommand) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    wait_for(async {
        match command {
            TokenCommand::Create(create) => {
                let new = new_token(create, Timestamp::now())?;
                let store = open(&config).await?;
                let made = make(&config, &store, &new).await;
                store.close().await;
                made
            }
            TokenCommand::List(list) => {
                let store = open(&config).await?;
                let tokens = store.tokens().await;
                store.close().await;
                show(&tokens.map_err(of_store)?, list.json);
                Ok(())
            }
            TokenCommand::Revoke { id } => {
                let store = open(&config).await?;
                let actor = actor::of_this_process();
                let revoked = store.revoke_token(id, &actor, Timestamp::now()).await;
                store.close().await;
                say_revoked(id, revoked)
            }
        }
    })
}

/// The token that is asked for.
fn new_token(create: &TokenCreateArguments, now: Timestamp) -> Result<NewToken, CommandError> {
    let is_host = create.role == Role::Host;
    for (option, is_given) in [("--tag", !create.tag.is_empty()), ("--host", create.host.is_some())]
    {
        if is_given && !is_host {
            return Err(CommandError::input(
                anyhow::anyhow!("{option} is for tokens that enrol a host"),
                format!("leave it out, or take --role host instead of --role {}", create.role),
            ));
        }
    }
    let name = create.name.clone();
    if name.chars().count() > NAME_CHARACTERS || name.contains(char::is_control) {
        return Err(CommandError::input(
            anyhow::anyhow!("the name is not one line of at most {NAME_CHARACTERS} characters"),
            "shorten it",
        ));
    }
    let lasts = create.expires.or(is_host.then_some(ENROLMENT_LASTS));
    // To the second, as it is shown.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let expires_at = lasts.map(|lasts| now.checked_add(lasts)).transpose();
    let expires_at = expires_at.map_err(|error| {
        CommandError::input(
            error,
            "give a shorter time with --expires, or none: it then never ends",
        )
    })?;
    let tags = checked_tags(create.tag.clone());
    Ok(NewToken {
        kind: if is_host { TokenKind::Enrolment } else { TokenKind::Credential },
        role: create.role,
        name,
        host: create.host.clone(),
        tags: tags.map_err(|error| {
            let hint = error.hint();
            CommandError::input(error, hint)
        })?,
        expires_at,
    })
}

async fn make(config: &ServerConfig, store: &Store, new: &NewToken) -> Result<(), CommandError> {
    let created = store.create_token(new, &actor::of_this_process(), Timestamp::now()).await;
    let token = created.map_err(of_store)?;
    let until = match new.expires_at {
        Some(end) => format!("until {} UTC", report::time(end)),
        None => "until it is revoked".to_owned(),
    };
    let id = token.id();
    let options = client_options(config);
    if new.role == Role::Host {
        let name = new.host.as_ref().map(|host| format!(" --name {host}")).unwrap_or_default();
        report::say(&format!("the token {id} enrols one host, {until}; it is shown only now"));
        report::say(&format!(
            "on the host, as root: elivepatch enrol {options}{name} --token-file -"
        ));
    } else {
        let role = new.role;
        report::say(&format!("the token {id} has the role {role}, {until}; it is shown only now"));
        report::say(&match role {
            Role::Worker => {
                format!(
                    "on the machine that builds: elivepatch-server worker {options} --token-file FILE"
                )
            }
            _ => format!("the client takes it from a file: {options} --token-file FILE"),
        });
        if role != Role::Worker && !config.wants_tokens() {
            report::say(
                "note: this server asks for no tokens, because only its own machine reaches it \
                 ([access] in the config)",
            );
        }
    }
    anstream::println!("{}", token.reveal());
    Ok(())
}

fn show(tokens: &[TokenRecord], json: bool) {
    let now = Timestamp::now();
    if json {
        let listed: Vec<Listed<'_>> =
            tokens.iter().map(|record| Listed { record, state: record.state(now) }).collect();
        report::json(&listed);
        return;
    }
    if tokens.is_empty() {
        report::say("there are no tokens; make one: elivepatch-server token create --role admin");
        return;
    }
    let time =
        |time: Option<Timestamp>, none: &str| time.map_or_else(|| none.to_owned(), report::time);
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.to_string(),
            match token.kind {
                TokenKind::Credential => token.role.to_string(),
                TokenKind::Enrolment => "enrols a host".to_owned(),
            },
            token.host.as_ref().map(ToString::to_string).unwrap_or_default(),
            printable(&token.name),
            state(token, now).to_owned(),
            report::time(token.created_at),
            time(token.expires_at, "never"),
            time(token.used_at, "never"),
        ]
    });
    let header =
        ["ID", "ROLE", "HOST", "NAME", "STATE", "MADE (UTC)", "ENDS (UTC)", "LAST USED (UTC)"];
    report::table(&header, rows);
}

fn state(token: &TokenRecord, now: Timestamp) -> &'static str {
    match token.state(now) {
        TokenState::Valid => "valid",
        TokenState::Used => "used",
        TokenState::Expired => "ended",
        TokenState::Revoked => "revoked",
        TokenState::Forgotten => "host forgotten",
    }
}

fn say_revoked(id: &TokenId, revoked: Result<bool, StoreError>) -> Result<(), CommandError> {
    match revoked {
        Ok(true) => anstream::println!("revoked: {id}; requests with it are refused from now on"),
        Ok(false) => report::say(&format!("{id} was revoked before")),
        Err(error @ StoreError::NoSuchToken(_)) => {
            return Err(CommandError::input(error, "elivepatch-server token list"));
        }
        Err(error) => return Err(of_store(error)),
    }
    Ok(())
}
