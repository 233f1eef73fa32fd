//! A model of a disk: what was synced is on it; of everything else, any part.
//!
//! More than a file system with a journal leaves: names may be kept or lost one by one, a sync of a
//! file does not bring its name along, and a file may grow without what was written to it. A rename
//! is one change, whole or not at all: POSIX asks for that, and no save can do without.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A file, whatever its name.
pub(crate) type Inode = usize;

/// Content is written out in blocks of this many bytes ...
const BLOCK_BYTES: usize = 4096;
/// ... and a block is torn at multiples of this.
const SECTOR_BYTES: usize = 512;
/// Of so many pieces every subset is tried; of more, only those up to one of them, or from it on.
const MOST_PIECES: usize = 10;

/// What was done.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// From now on each of these names means that file, or none: one change.
    Names(Vec<(String, Option<Inode>)>),
    /// Bytes were written to a file at an offset.
    Write(Inode, usize, Vec<u8>),
    /// A file was cut, or stretched, to a length.
    Cut(Inode, usize),
    SyncFile(Inode),
    SyncDir,
    /// The step of this letter begins ...
    Begins(char),
    /// ... and has returned: what it did may not be lost any more.
    Returned(char),
}

impl fmt::Debug for Op {
    /// In one line, and without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(change) => write!(f, "names {change:?}"),
            Self::Write(inode, offset, bytes) => {
                write!(f, "write {} bytes at {offset} of file {inode}", bytes.len())
            }
            Self::Cut(inode, length) => write!(f, "cut file {inode} to {length}"),
            Self::SyncFile(inode) => write!(f, "sync file {inode}"),
            Self::SyncDir => f.write_str("sync directory"),
            Self::Begins(marker) => write!(f, "{marker} begins"),
            Self::Returned(marker) => write!(f, "{marker} has returned"),
        }
    }
}

/// A part of a change to a file that reaches the disk or does not.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(usize, Vec<u8>),
    /// The file has at least this length.
    Grown(usize),
    Cut(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Piece>,
}

type Names = BTreeMap<String, Inode>;

/// What is synced, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    synced: Names,
    since: Vec<Vec<(String, Option<Inode>)>>,
    files: BTreeMap<Inode, File>,
}

/// One of the disks that a power cut can leave.
#[derive(Debug)]
pub(crate) struct Disk<'v> {
    names: Names,
    files: &'v BTreeMap<Inode, File>,
    /// The one file that is looked at, in one of its possible contents; the others as they were
    /// synced.
    looked_at: Option<(Inode, Vec<u8>)>,
}

impl Disk<'_> {
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|inode| self.content(*inode))
    }

    /// Every name with its file's content.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let names = self.names.iter();
        names.map(|(name, inode)| (name.as_str(), self.content(*inode)))
    }

    /// Whether any name means a file with this content.
    pub(crate) fn holds(&self, content: &[u8]) -> bool {
        self.all().any(|(_, held)| held == content)
    }

    fn content(&self, inode: Inode) -> &[u8] {
        match &self.looked_at {
            Some((looked_at, content)) if *looked_at == inode => content,
            _ => self.files.get(&inode).map_or(&[], |file| &file.synced),
        }
    }
}

impl Volatile {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Names(change) => self.since.push(change.clone()),
            Op::Write(inode, offset, bytes) => {
                let since = &mut self.files.entry(*inode).or_default().since;
                since.push(Piece::Grown(offset + bytes.len()));
                since.extend(blocks(*offset, bytes, BLOCK_BYTES));
            }
            Op::Cut(inode, length) => {
                let file = self.files.entry(*inode).or_default();
                file.since.push(Piece::Cut(*length));
            }
            Op::SyncFile(inode) => {
                let file = self.files.entry(*inode).or_default();
                file.synced = file.with(|_| true);
                file.since.clear();
            }
            Op::SyncDir => {
                for change in self.since.drain(..) {
                    rename(&mut self.synced, &change);
                }
            }
            Op::Begins(_) | Op::Returned(_) => {}
        }
    }

    /// Every disk that a power cut can leave now, as far as the file of this name goes.
    pub(crate) fn disks<'v>(&'v self, name: &str) -> Vec<Disk<'v>> {
        let mut disks = Vec::new();
        for disk in self.disks_as_synced() {
            let Some(inode) = disk.names.get(name).copied() else {
                disks.push(disk);
                continue;
            };
            let file = self.files.get(&inode).cloned().unwrap_or_default();
            disks.extend(file.contents().into_iter().map(|content| Disk {
                names: disk.names.clone(),
                files: &self.files,
                looked_at: Some((inode, content)),
            }));
        }
        disks
    }

    /// The same with each file as it was last synced: any of the names that were not.
    pub(crate) fn disks_as_synced(&self) -> Vec<Disk<'_>> {
        let subsets = 0..1_usize << self.since.len();
        let disks = subsets.map(|subset| {
            let mut names = self.synced.clone();
            for (nth, change) in self.since.iter().enumerate() {
                if (subset >> nth) & 1 == 1 {
                    rename(&mut names, change);
                }
            }
            Disk {
                names,
                files: &self.files,
                looked_at: None,
            }
        });
        disks.collect()
    }
}

impl File {
    /// Every content that a power cut can leave: any of the blocks; and torn within a block, at any
    /// sector.
    fn contents(&self) -> BTreeSet<Vec<u8>> {
        let pieces = Some(self.since.len()).filter(|pieces| *pieces <= MOST_PIECES);
        let subsets = 0..pieces.map_or(0, |pieces| 1_usize << pieces);
        let by_block = subsets.map(|subset| self.with(|nth| (subset >> nth) & 1 == 1));
        let sectors = File {
            synced: self.synced.clone(),
            since: self.since.iter().flat_map(Piece::sectors).collect(),
        };
        let cuts = 0..=sectors.since.len();
        let by_sector = cuts.flat_map(|cut| {
            [
                sectors.with(|nth| nth < cut),
                sectors.with(|nth| nth >= cut),
            ]
        });
        by_block.chain(by_sector).collect()
    }

    /// The content with those pieces since the last sync that were written out.
    fn with(&self, is_written: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut content = self.synced.clone();
        for (nth, piece) in self.since.iter().enumerate() {
            if !is_written(nth) {
                continue;
            }
            match piece {
                Piece::Cut(length) => content.resize(*length, 0),
                Piece::Grown(length) => content.resize(content.len().max(*length), 0),
                Piece::Bytes(offset, bytes) => {
                    let end = offset + bytes.len();
                    content.resize(content.len().max(end), 0);
                    content[*offset..end].copy_from_slice(bytes);
                }
            }
        }
        content
    }
}

impl Piece {
    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Bytes(offset, bytes) => blocks(*offset, bytes, SECTOR_BYTES).collect(),
            other => vec![other.clone()],
        }
    }
}

/// Bytes in pieces that no boundary of this size runs through.
fn blocks(offset: usize, bytes: &[u8], size: usize) -> impl Iterator<Item = Piece> {
    let first = (size - offset % size).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest
        .chunks(size)
        .enumerate()
        .map(move |(nth, chunk)| Piece::Bytes(offset + first + nth * size, chunk.to_vec()));
    std::iter::once(Piece::Bytes(offset, head.to_vec())).chain(rest)
}

fn rename(names: &mut Names, change: &[(String, Option<Inode>)]) {
    for (name, inode) in change {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}
