//! Names of images: [`ImageId`], [`Repository`], [`Reference`], [`Version`].
//!
//! Pure parsing and printing. Identity is the image id; everything else here is an attribute of it. Names are
//! compared parsed and normalised, never as substrings (design 4.1). The grammar (`grammar`) is that of the
//! OCI distribution specification; `tests/property.rs` holds it against the `oci-spec` crate, which is not used here because it
//! compiles a regular expression of 18 MB for each pass (ARCHITECTURE.md, "Dependencies").

mod grammar;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{self, Id, Kind};

use grammar::{is_digest, is_domain, is_domain_like, is_path_component, is_tag, split_name};

/// The tag that the local service runs, and that a promotion moves.
pub const LATEST: &str = "latest";

/// The id of an image as the engine prints it, `sha256:` and 64 digits. The only identity of an image. A bare hexadecimal
/// id (Podman prints them) gets its `sha256:` back, so that one image has one id whichever call named it.
pub type ImageId = Id<OfImage>;

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
        let text = self.to_string();
        let digits = text.split_once(':').map_or(text.as_str(), |(_, d)| d);
        digits.get(..12).unwrap_or(digits).to_owned()
    }

    /// The version of an image that has no tag to take one from: `sha256-` and twelve digits (design 4.2). It is a
    /// valid tag, so that an image can be named by it.
    pub fn short_version(&self) -> Version {
        Version::new(format!("sha256-{}", self.short()))
    }
}

/// The tag of an image, other than `latest` (design 4.2): a label for people and for finding twins.
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
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository: a name without tag or digest. Compared normalised (`x` is `docker.io/library/x`), printed as it was
/// written, because the engine knows it by that spelling. Its text is shared by its clones.
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

impl std::error::Error for NameError {}

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

    /// The reference `repository:tag`.
    pub fn with_tag(&self, tag: &str) -> Reference {
        Reference {
            repository: self.clone(),
            name: Name::Tag(tag.into()),
        }
    }

    /// The reference `repository:latest`.
    pub fn latest(&self) -> Reference {
        self.with_tag(LATEST)
    }
}

// Names that are written alike are alike; most that are compared are, and taking them apart costs more than that.
impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        self.is_written_as(other) || self.normalised() == other.normalised()
    }
}
impl Eq for Repository {}
impl PartialOrd for Repository {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Repository {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.is_written_as(other) {
            return std::cmp::Ordering::Equal;
        }
        self.normalised().cmp(&other.normalised())
    }
}
impl std::hash::Hash for Repository {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
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

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Tag(Arc<str>),
    Digest(Arc<str>),
}

/// A repository plus a tag or a digest: one name of an image, as the engine lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    name: Name,
}

impl Reference {
    /// Parses `repository:tag` or `repository@digest`; a bare `repository` means `repository:latest`, as it does for
    /// the engine, and of `repository:tag@digest` the digest counts.
    ///
    /// # Errors
    /// A text that the distribution grammar does not allow; `<none>:<none>` is one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_beside([], text)
    }

    /// The same beside other references. A list has the names of few repositories many times: one that is written as a
    /// neighbour's shares its text.
    pub(crate) fn parse_beside<'n>(
        neighbours: impl IntoIterator<Item = &'n Self>,
        text: &str,
    ) -> Result<Self, NameError> {
        let (name, tag, digest) = split_name(text);
        let mut known = neighbours.into_iter().map(Self::repository);
        let repository = match known.find(|known| *known.written == *name) {
            Some(known) => known.clone(),
            None => Repository::parse_name(name)?,
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(NameError::Malformed);
        }
        let name = match (tag, digest) {
            (_, Some(digest)) if is_digest(digest) => Name::Digest(digest.into()),
            (_, Some(_)) => return Err(NameError::Malformed),
            (Some(tag), None) => Name::Tag(tag.into()),
            (None, None) => Name::Tag(LATEST.into()),
        };
        Ok(Self { repository, name })
    }

    /// The repository part.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, `latest` included; none for a digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.name {
            Name::Tag(tag) => Some(tag),
            Name::Digest(_) => None,
        }
    }

    /// The tag if it can be a version: any but `latest` (design 4.2).
    pub fn version_tag(&self) -> Option<&str> {
        self.tag().filter(|tag| *tag != LATEST)
    }

    /// Whether this is `repository@digest`.
    pub fn is_digest(&self) -> bool {
        matches!(self.name, Name::Digest(_))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Name::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}
