//! What a registry is shown so that it answers: nothing, a password, or a token that somebody gave for one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fetch::{Body, Client, Method, Request};
use serde::Deserialize;

use crate::answers::{self, plain};
use crate::challenge::Challenge;
use crate::credentials::{Credentials, Secret};
use crate::error::{Error, Result};
use crate::origin::{Address, Origin, escape};
use crate::realm;

/// Most bytes of a token's document.
const MAX_BYTES: u64 = 1 << 20;
/// How long a token lasts that does not say so (distribution's token specification).
const LIFE: u64 = 60;
/// Longest that one is believed to last, in seconds.
const MAX_LIFE: u64 = 3600;
/// How much sooner one is taken for old: an upload must not begin with its last second.
const MARGIN: u64 = 10;
/// Name that we go by where a token is asked for.
const CLIENT_ID: &str = "brig";

/// What was found out about one registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorization {
    /// Tokens by what they are for.
    tokens: HashMap<String, (Secret, Instant)>,
    /// Whether it wants a password with each request.
    basic: bool,
}

/// Who asks for a token.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub registry: &'a Origin,
    pub credentials: Option<&'a Credentials>,
    /// Realms that a person configured for registries of other domains.
    pub pairs: &'a [(String, String)],
    /// Asks the registry's own host.
    pub own: &'a Client,
    /// Asks any other.
    pub others: &'a Client,
    /// What the request was for, for messages.
    pub what: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Authorization {
    /// The value of `Authorization` for a request of this scope; none before the registry asked for one.
    pub(crate) fn header(&self, scope: &str, credentials: Option<&Credentials>) -> Option<String> {
        if let Some(Credentials::Bearer(token)) = credentials {
            return Some(format!("Bearer {}", token.reveal()));
        }
        if let Some((token, until)) = self.tokens.get(scope)
            && *until > Instant::now()
        {
            return Some(format!("Bearer {}", token.reveal()));
        }
        match credentials {
            Some(Credentials::Basic { user, password }) if self.basic => {
                Some(Credentials::basic(user, password))
            }
            _ => None,
        }
    }

    /// Does what a challenge asks for; whether there is something new to show.
    pub(crate) fn answer(
        &mut self,
        challenges: &[Challenge],
        scope: &str,
        asking: &Asking<'_>,
    ) -> Result<bool> {
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, .. } => Some((realm, service)),
            _ => None,
        });
        if let Some((realm, service)) = bearer {
            let (token, life) = ask(realm, service.as_deref(), scope, asking)?;
            let life = Duration::from_secs(life.clamp(LIFE, MAX_LIFE) - MARGIN);
            self.tokens.insert(scope.to_owned(), (token, Instant::now() + life));
            return Ok(true);
        }
        let wants_password = challenges.contains(&Challenge::Basic);
        let is_new =
            wants_password && !self.basic && matches!(asking.credentials, Some(Credentials::Basic { .. }));
        self.basic |= wants_password;
        Ok(is_new)
    }
}

/// Asks a realm for a token.
fn ask(realm: &str, service: Option<&str>, scope: &str, asking: &Asking<'_>) -> Result<(Secret, u64)> {
    let what = asking.what;
    let hostile = |reason: String| Error::Hostile { what: what.to_owned(), reason };
    let address = Address::parse(realm)?;
    let is_trusted = realm::may_ask(asking.registry, &address.origin, asking.pairs);
    if !is_trusted && (asking.credentials.is_some() || !address.origin.secure) {
        let realm = plain(&address.origin.to_string());
        return Err(hostile(format!("it sends us to `{realm}` for a token, which is not its own")));
    }
    let client = if address.origin.host == asking.registry.host { asking.own } else { asking.others };
    let failed = |source| Error::Fetch { what: what.to_owned(), source };
    let answer = if let Some(Credentials::Identity(token)) = asking.credentials {
        let mut form = format!(
            "grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={}&scope={}",
            escape(token.reveal()),
            escape(scope)
        );
        if let Some(service) = service {
            form.push_str(&format!("&service={}", escape(service)));
        }
        let url = address.to_string();
        let request = Request::new(Method::Post, &url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        client.send(request).map_err(failed)?
    } else {
        let mut address = address;
        if let Some(service) = service {
            address = address.with("service", service);
        }
        for one in scope.split(' ').filter(|one| !one.is_empty()) {
            address = address.with("scope", one);
        }
        let url = address.to_string();
        let mut request = Request::new(Method::Get, &url);
        if let Some(Credentials::Basic { user, password }) = asking.credentials {
            request = request.header("authorization", Credentials::basic(user, password));
        }
        client.send(request).map_err(failed)?
    };
    if answer.status != 200 {
        return Err(answers::failure(what, answer, asking.credentials.is_some()));
    }
    let bytes = answer.bytes(MAX_BYTES).map_err(failed)?;
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| hostile("its token is no JSON document".to_owned()))?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if token.is_empty() || !token.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Err(hostile("its token is none".to_owned()));
    }
    Ok((Secret::new(token), answer.expires_in.unwrap_or(LIFE)))
}
