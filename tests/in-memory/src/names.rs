//! Names and ids as the engine reads them: by its own rules, not by those of the program under
//! test.

/// 64 hexadecimal digits that follow from the label: FNV-1a, run on through four words.
pub fn hex_id(label: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut next = |word: u8| {
        for byte in label.bytes().chain([word]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{hash:016x}")
    };
    (0..4).map(&mut next).collect()
}

/// Whether a request names this id, whole or by its first digits, with or without the algorithm.
pub(crate) fn is_id_prefix(id: &str, name: &str) -> bool {
    let digits = |text| str::strip_prefix(text, "sha256:").unwrap_or(text);
    let (id, name) = (digits(id), digits(name));
    name.len() >= 4 && id.starts_with(name)
}

/// A reference as the engine prints it: without the default registry, with `latest` where there is
/// no tag. Of a tag with a digest, the digest counts.
pub(crate) fn short_form(name: &str) -> String {
    let bare = name.strip_prefix("index.").unwrap_or(name);
    let bare = bare.strip_prefix("docker.io/").unwrap_or(bare);
    let bare = bare.strip_prefix("library/").unwrap_or(bare);
    let repository = repository_of(bare);
    match bare.split_once('@') {
        Some((_, digest)) => format!("{repository}@{digest}"),
        None if repository == bare => format!("{bare}:latest"),
        None => bare.to_owned(),
    }
}

/// Whether a name that an image has, however it is written, is the one of this short form.
pub(crate) fn is_name(own: &str, short: &str) -> bool {
    let defaults = ["docker.io/", "index.docker.io/", "library/"];
    let is_long = || defaults.iter().any(|start| own.starts_with(start));
    own == short || (is_long() && short_form(own) == short)
}

/// The repository of a reference: what stands before the digest or the tag. A registry's port is no
/// tag.
fn repository_of(reference: &str) -> &str {
    let name = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// The repository of a name in short form.
pub(crate) fn short_repository(name: &str) -> String {
    repository_of(&short_form(name)).to_owned()
}

/// Undoes percent-encoding; in a query `+` is a space.
pub(crate) fn decode(text: &str, is_query: bool) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).expect("percent-encoding is ASCII");
                u8::from_str_radix(hex, 16).expect("percent-encoding is two hexadecimal digits")
            }
            b'+' if is_query => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).expect("names are UTF-8")
}
