//! The grammar of names, piece by piece: which texts the OCI distribution specification and the
//! engine take for what.

/// Longest repository name that the distribution specification's implementations take.
pub(super) const NAME_MAX_BYTES: usize = 255;
/// Longest tag, by the distribution specification.
pub(crate) const TAG_MAX_BYTES: usize = 128;

/// Splits `name[:tag][@digest]`. A colon before the last slash belongs to a registry's port.
pub(super) fn split_name(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (text, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let last_component = text.rfind('/').map_or(0, |slash| slash + 1);
    match text
        .get(last_component..)
        .and_then(|last| last.split_once(':'))
    {
        Some((last, tag)) => (
            text.get(..last_component + last.len()).unwrap_or_default(),
            Some(tag),
            digest,
        ),
        None => (text, None, digest),
    }
}

/// Whether the first component of a name is a registry: the engine's rule.
pub(super) fn is_domain_like(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// A registry: labels joined by dots, or an IPv6 address in brackets, and a port perhaps.
pub(super) fn is_domain(domain: &str) -> bool {
    if let Some(rest) = domain.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, after)| {
            address.parse::<core::net::Ipv6Addr>().is_ok()
                && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// `[a-z0-9]+` runs joined by one dot, one or two underscores, or any number of dashes.
pub(super) fn is_path_component(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().copied().is_some_and(alnum) || !bytes.last().copied().is_some_and(alnum) {
        return false;
    }
    bytes
        .split(|&b| alnum(b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-')
        })
}

/// A tag: a word, and then dots and dashes too.
pub(super) fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    bytes.len() <= TAG_MAX_BYTES
        && bytes.first().copied().is_some_and(word)
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// The digest of an algorithm that is known, at its full length.
pub(super) fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let wanted = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    // All of them, with no branch for each: what the next digit is cannot be guessed.
    hex.len() == wanted && hex.bytes().fold(true, |all, b| all & b.is_ascii_hexdigit())
}
