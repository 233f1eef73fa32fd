//! Names of images: [`ImageId`], [`Repository`], [`Reference`], [`Version`].
//!
//! Identity is the image id; everything else here is an attribute of it. Names are compared parsed
//! and normalised, never as substrings (design 4.1). The grammar is that of the OCI distribution
//! specification; `tests/property.rs` compares it with the `oci-spec` crate, which is not used here
//! because it compiles a regular expression of 18 MB at each start.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::grammar::{
    self, is_digest, is_domain, is_domain_like, is_path_component, is_tag, split_name,
};
use super::id::{self, Id, Kind};

/// The tag that the local service runs, and that a promotion moves.
pub const LATEST: &str = "latest";

/// The id of an image as the engine prints it, `sha256:` and 64 digits. The only identity of an
/// image. A bare hexadecimal id (Podman prints them) gets its `sha256:` back, so that one image has
/// one id whichever call named it.
pub type ImageId = Id<OfImage>;

/// Digits of an id or a digest in short form, as `docker images` prints them.
pub const SHORT_DIGITS: usize = 12;
/// What a version begins with that is a digest in short form.
const SHORT_PREFIX: &str = "sha256-";

/// The kind of thing that an image is.
#[derive(Clone, Copy, Debug)]
pub enum OfImage {}

impl Kind for OfImage {
    const PREFIX: &'static str = "sha256:";

    fn complete(text: &str) -> Cow<'_, str> {
        let is_bare = text.len() == id::DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_bare {
            format!("{}{text}", Self::PREFIX).into()
        } else {
            text.into()
        }
    }
}

impl ImageId {
    /// The first twelve digits, as `docker images` prints them.
    pub fn short(&self) -> String {
        short_digits(&self.to_string()).to_owned()
    }

    /// The version of an image that has no tag to take one from: `sha256-` and twelve digits
    /// (design 4.2). It is a valid tag, so that an image can be named by it.
    pub fn short_version(&self) -> Version {
        short_version(&self.to_string())
    }
}

/// Whether a text is a digest or an id, with its `sha256:` or without, or the first of its digits:
/// so many of them at the least.
pub fn begins_digest(text: &str, digest: &str, least_digits: usize) -> bool {
    let digits = |text| str::strip_prefix(text, OfImage::PREFIX).unwrap_or(text);
    let begun = digits(text);
    begun.len() >= least_digits && digits(digest).starts_with(begun)
}

/// Whether a text is nothing but digits as ids and digests have them: hexadecimal, in lower case.
pub fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn short_digits(digest: &str) -> &str {
    let digits = digest.split_once(':').map_or(digest, |(_, d)| d);
    digits.get(..SHORT_DIGITS).unwrap_or(digits)
}

fn short_version(digest: &str) -> Version {
    Version::new(format!("{SHORT_PREFIX}{}", short_digits(digest)))
}

/// The label of an image for people, normally a tag other than `latest` (design 4.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// A version from a tag.
    pub fn new(tag: impl Into<String>) -> Self {
        Self(tag.into())
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a person who typed it means this image of that version: it is the version, or the
    /// image's id, of which the first twelve digits will do.
    pub fn names(&self, version: &Self, image: &ImageId) -> bool {
        self == version || begins_digest(self.as_str(), &image.to_string(), SHORT_DIGITS)
    }

    /// Whether it is a digest in short form: nothing says which version the image is (design 4.2).
    pub(crate) fn is_unknown(&self) -> bool {
        let digits = self.0.strip_prefix(SHORT_PREFIX);
        digits.is_some_and(|d| d.len() == SHORT_DIGITS && d.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository: a name without tag or digest. Compared normalised (`x` is `docker.io/library/x`),
/// printed as it was written, because the engine knows it by that spelling. Its text is shared by
/// its clones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Repository {
    written: Arc<str>,
    /// Where the domain ends in `written`, when there is one.
    domain_bytes: Option<usize>,
}

/// Why a text is not the name of a repository or an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The name has upper-case letters.
    UpperCase,
    /// The name is longer than 255 bytes.
    TooLong,
    /// A tag where only a repository may stand.
    HasTag,
    /// A digest where only a repository may stand.
    HasDigest,
    /// Anything else that the grammar of the distribution specification does not allow.
    Malformed,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::UpperCase => "has upper-case letters; repository names are lower-case",
            Self::TooLong => "is longer than 255 characters",
            Self::HasTag => "has a tag; a repository is named without one",
            Self::HasDigest => "has a digest; a repository is named without one",
            Self::Malformed => "is not a repository name such as 'registry.example:5000/team/app'",
        })
    }
}

impl core::error::Error for NameError {}

impl Repository {
    /// Parses a repository name without tag or digest.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (name, tag, digest) = split_name(text);
        if digest.is_some() {
            return Err(NameError::HasDigest);
        }
        if tag.is_some() {
            return Err(NameError::HasTag);
        }
        Self::parse_name(name)
    }

    fn parse_name(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > grammar::NAME_MAX_BYTES {
            return Err(NameError::TooLong);
        }
        let domain_bytes = match name.split_once('/') {
            Some((first, _)) if is_domain_like(first) => Some(first.len()),
            _ => None,
        };
        let path = match domain_bytes {
            Some(end) => {
                // The grammar lets what looks like a registry pass as a path, too.
                let domain = name.get(..end).unwrap_or_default();
                if !is_domain(domain) && !is_path_component(domain) {
                    return Err(NameError::Malformed);
                }
                name.get(end + 1..).unwrap_or_default()
            }
            None => name,
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NameError::UpperCase);
        }
        if !path.split('/').all(is_path_component) {
            return Err(NameError::Malformed);
        }
        Ok(Self {
            written: name.into(),
            domain_bytes,
        })
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    fn is_written_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.written, &other.written) || self.written == other.written
    }

    /// The registry as it was written; none where the name begins with its path.
    pub fn registry(&self) -> Option<&str> {
        self.domain_bytes.and_then(|end| self.written.get(..end))
    }

    /// The path within the registry, without an implied `library/`.
    pub fn path(&self) -> &str {
        self.normalised().2
    }

    /// Registry, implied `library/`, and path: what is compared.
    fn normalised(&self) -> (&str, &str, &str) {
        const HUB: &str = "docker.io";
        let (domain, path) = match self.domain_bytes {
            Some(end) => (
                self.written.get(..end).unwrap_or_default(),
                self.written.get(end + 1..).unwrap_or_default(),
            ),
            None => (HUB, &*self.written),
        };
        let domain = if domain == "index.docker.io" {
            HUB
        } else {
            domain
        };
        if domain == HUB {
            match path.strip_prefix("library/") {
                Some(rest) if !rest.contains('/') => (HUB, "library/", rest),
                None if !path.contains('/') => (HUB, "library/", path),
                _ => (HUB, "", path),
            }
        } else {
            (domain, "", path)
        }
    }

    /// The repository in full, `docker.io/library/app`. Podman resolves a short name to whatever
    /// repository ends in it, so that a bare `app` could mean `registry.example/app`
    /// (containers/podman#14294).
    pub fn in_full(&self) -> String {
        let (domain, library, path) = self.normalised();
        alloc::format!("{domain}/{library}{path}")
    }

    /// The reference `repository:tag`.
    pub fn with_tag(&self, tag: &str) -> Reference {
        Reference {
            repository: self.clone(),
            tag: Some(tag.into()),
            digest: None,
        }
    }

    /// The reference `repository:latest`.
    pub fn latest(&self) -> Reference {
        self.with_tag(LATEST)
    }
}

// Names that are written alike are alike; most that are compared are, and taking them apart costs
// more than that.
impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        self.is_written_as(other) || self.normalised() == other.normalised()
    }
}
impl Eq for Repository {}
impl PartialOrd for Repository {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Repository {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        if self.is_written_as(other) {
            return core::cmp::Ordering::Equal;
        }
        self.normalised().cmp(&other.normalised())
    }
}
impl core::hash::Hash for Repository {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.normalised().hash(state);
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.written.as_ref().to_owned()
    }
}

impl TryFrom<String> for Repository {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

/// A repository plus a tag, a digest, or both: one name of an image, as the engine lists it, or
/// what a container was created from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Reference {
    repository: Repository,
    tag: Option<Arc<str>>,
    digest: Option<Arc<str>>,
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl Reference {
    /// Parses `repository:tag`, `repository@digest` or `repository:tag@digest`; a bare `repository`
    /// means `repository:latest`, as it does for the engine.
    ///
    /// # Errors
    /// A text that the distribution grammar does not allow; `<none>:<none>` is one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_beside([], text)
    }

    /// The same beside other references. A list has the names of few repositories many times: one
    /// that is written as a neighbour's shares its text.
    pub fn parse_beside<'n>(
        neighbours: impl IntoIterator<Item = &'n Self>,
        text: &str,
    ) -> Result<Self, NameError> {
        let (name, tag, digest) = split_name(text);
        let mut known = neighbours.into_iter().map(Self::repository);
        let repository = match known.find(|known| *known.written == *name) {
            Some(known) => known.clone(),
            None => Repository::parse_name(name)?,
        };
        if !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
            return Err(NameError::Malformed);
        }
        let tag = match (tag, digest) {
            (None, None) => Some(LATEST),
            (tag, _) => tag,
        };
        Ok(Self {
            repository,
            tag: tag.map(Into::into),
            digest: digest.map(Into::into),
        })
    }

    /// The repository part.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, `latest` included.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The tag if it can be a version: any but `latest` (design 4.2).
    pub fn version_tag(&self) -> Option<&str> {
        self.tag().filter(|tag| *tag != LATEST)
    }

    /// The digest in short form, as a version.
    pub fn short_version(&self) -> Option<Version> {
        self.digest().map(short_version)
    }

    /// Whether this is how it is written.
    pub(crate) fn is_written(&self, text: &str) -> bool {
        self.to_string() == text
    }

    /// Whether it has a digest: the engine then looks at that and not at the tag.
    pub fn is_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// Whether both name one image in one repository: the same tag or the same digest.
    pub fn names_as(&self, other: &Self) -> bool {
        self.repository == other.repository
            && ((self.digest.is_some() && self.digest == other.digest)
                || (self.tag.is_some() && self.tag == other.tag))
    }

    /// The reference with its repository in full.
    pub fn in_full(&self) -> String {
        let mut text = self.repository.in_full();
        // A String takes whatever is written to it.
        let _ = self.write_behind_repository(&mut text);
        text
    }

    fn write_behind_repository(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(out, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        self.write_behind_repository(f)
    }
}
