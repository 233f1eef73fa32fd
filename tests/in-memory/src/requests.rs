//! The requests of the engine's API: read off a connection, parsed, told apart, and held to what
//! none may ask for.

use std::fmt;
use std::io::{self, BufRead, Read};

use crate::names::decode;

/// The newest API that the fake speaks, as Docker 20.10 does: it refuses a request of a later one.
pub(crate) const API_MINOR: u32 = 41;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/_ping`.
    Ping,
    /// `/version`.
    Version,
    /// `/info`.
    Info,
    /// `/images/json`.
    ListImages,
    /// `/containers/json`.
    ListContainers,
    /// `/images/NAME/json`.
    InspectImage,
    /// `/containers/NAME/json`.
    InspectContainer,
    /// `POST /containers/create`.
    CreateContainer,
    /// `POST /images/NAME/tag`.
    Tag,
    /// `DELETE /images/NAME`.
    RemoveImage,
    /// `DELETE /containers/NAME`.
    RemoveContainer,
    /// Anything else.
    Unknown,
}

/// One request as it came in: decoded, the API version taken off its path.
#[derive(Clone, Debug)]
pub struct Request {
    /// In capitals.
    pub(crate) method: String,
    /// Without the API's version.
    pub path: String,
    /// Keys and values, in the order of the request.
    pub(crate) query: Vec<(String, String)>,
    /// What it asks for.
    pub route: Route,
    /// The body, where there is one.
    pub body: String,
}

impl Request {
    pub(crate) fn parse(method: &str, target: &str, body: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decode(path, false);
        let pairs = query.split('&').filter(|p| !p.is_empty());
        let pairs = pairs.map(|p| p.split_once('=').unwrap_or((p, "")));
        let query = pairs
            .map(|(k, v)| (decode(k, true), decode(v, true)))
            .collect();
        let route = route(method, &path);
        Self {
            method: method.to_owned(),
            path,
            query,
            route,
            body: body.to_owned(),
        }
    }

    /// Whether it asks for a change.
    pub fn is_mutation(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The value of a key of the query; empty if it has none.
    pub fn value(&self, key: &str) -> &str {
        self.query
            .iter()
            .find(|(k, _)| k == key)
            .map_or("", |(_, v)| v)
    }

    /// Whether a key of the query is true, as the engine reads it.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        !matches!(
            self.value(key).to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// The name or id in the path.
    pub(crate) fn subject(&self) -> &str {
        let path = self
            .path
            .trim_start_matches("/images/")
            .trim_start_matches("/containers/");
        match self.route {
            Route::Tag => path.trim_end_matches("/tag"),
            Route::InspectImage | Route::InspectContainer => path.trim_end_matches("/json"),
            _ => path,
        }
    }

    /// What no request may ever ask for (design section 8; volumes: 4.5).
    pub(crate) fn offence(&self) -> Option<&'static str> {
        if self.path.contains("prune") {
            Some("prunes")
        } else if self.is_set("force") {
            Some("forces")
        } else if self.is_set("v") {
            Some("takes volumes along")
        } else if self.route == Route::Unknown {
            Some("is unknown to the fake")
        } else if !matches!(self.value("filters"), "" | "{}") {
            Some("filters, and the fake cannot")
        } else {
            None
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query: Vec<String> = self.query.iter().map(|(k, v)| format!("{k}={v}")).collect();
        write!(f, "{} {}?{}", self.method, self.path, query.join("&"))
    }
}

fn route(method: &str, path: &str) -> Route {
    let inner = |kind: &str, end: &str| path.starts_with(kind) && path.ends_with(end);
    match (method, path) {
        ("GET" | "HEAD", "/_ping") => Route::Ping,
        ("GET", "/version") => Route::Version,
        ("GET", "/info") => Route::Info,
        ("GET", "/images/json") => Route::ListImages,
        ("GET", "/containers/json") => Route::ListContainers,
        ("GET", _) if inner("/images/", "/json") => Route::InspectImage,
        ("GET", _) if inner("/containers/", "/json") => Route::InspectContainer,
        ("POST", "/containers/create") => Route::CreateContainer,
        ("POST", _) if inner("/images/", "/tag") => Route::Tag,
        ("DELETE", _) if path.starts_with("/images/") => Route::RemoveImage,
        ("DELETE", _) if path.starts_with("/containers/") => Route::RemoveContainer,
        _ => Route::Unknown,
    }
}

/// Method, target and body of the next request; none at the end of the connection.
pub(crate) fn read_request(
    reader: &mut impl BufRead,
) -> io::Result<Option<(String, String, String)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut body_bytes = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = String::new();
    reader.take(body_bytes).read_to_string(&mut body)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next(), words.next());
    Ok(method
        .zip(target)
        .map(|(method, target)| (method, target, body)))
}

/// The target without `/v1.NN`, or why the engine refuses it.
pub(crate) fn versionless(target: &str) -> Result<&str, String> {
    let Some((minor, rest)) = target.strip_prefix("/v1.").and_then(|t| t.split_once('/')) else {
        return Ok(target);
    };
    match minor.parse::<u32>() {
        Ok(minor) if minor > API_MINOR => Err(format!(
            "client version 1.{minor} is too new. Maximum supported API version is 1.{API_MINOR}"
        )),
        _ => Ok(&target[target.len() - rest.len() - 1..]),
    }
}
