//! What a simulated disk and the page cache above it hold, and what a crash makes of them.
//!
//! Each file is its durable bytes, its bytes as reads see them, and the operations not yet synced; each directory the
//! same with entries. It knows nothing of planned faults: `mod` asks those first.

use std::collections::{BTreeMap, BTreeSet};

use super::choice::Choose;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// An inode: a place in [`Disk::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

/// The root directory.
pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Debug, Clone)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// A file's bytes on the disk and in the cache.
#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) durable: Vec<u8>,
    pub(super) cached: Vec<u8>,
    /// What the cache has and the disk has not, in order.
    pending: Vec<FileOp>,
    pub(super) locked: bool,
}

#[derive(Debug, Clone)]
enum FileOp {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// A directory's entries on the disk and in the cache.
#[derive(Debug, Clone, Default)]
pub(super) struct DirNode {
    durable: BTreeMap<String, NodeId>,
    pub(super) cached: BTreeMap<String, NodeId>,
    pending: Vec<DirOp>,
    /// No longer in its parent: nothing can be made in it.
    pub(super) removed: bool,
}

#[derive(Debug, Clone)]
enum DirOp {
    Link {
        name: String,
        node: NodeId,
    },
    Unlink {
        name: String,
    },
    Rename {
        from: String,
        to: String,
        node: NodeId,
    },
}

/// All inodes of one simulated file system.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    nodes: Vec<Node>,
}

impl FileOp {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => content.resize(*len, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// The sectors whose bytes the operation may change in a file that is `len` bytes long.
    fn sectors(&self, len: usize) -> std::ops::Range<usize> {
        match self {
            Self::Write { offset, bytes } => {
                offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR)
            }
            Self::SetLen(new) => new / SECTOR..len.div_ceil(SECTOR).max(new / SECTOR),
        }
    }
}

impl FileNode {
    pub(super) fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        self.push(FileOp::Write { offset, bytes });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.push(FileOp::SetLen(len));
    }

    fn push(&mut self, op: FileOp) {
        op.apply(&mut self.cached);
        self.pending.push(op);
    }

    /// The disk takes everything over.
    pub(super) fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.apply(&mut self.durable);
        }
    }

    /// A sync that fails: what was dirty is clean now, and of it only what `chooser` says has reached the disk.
    pub(super) fn sync_fails(&mut self, chooser: &mut dyn Choose) {
        self.durable = self.crashed(chooser);
        self.pending.clear();
    }

    /// Forgets the clean pages. The length stays: it is kept with the inode, not with the pages.
    pub(super) fn drop_cache(&mut self) {
        let len = self.cached.len();
        self.cached.clone_from(&self.durable);
        self.cached.resize(len, 0);
        for op in &self.pending {
            op.apply(&mut self.cached);
        }
    }

    /// The bytes that a power cut leaves. Each sector has any of the contents that it had since it was synced, whatever
    /// the others have. The length is any that the file had since; a length that was reached by a cut takes with it what
    /// lay behind the cut before, and a length beyond what was written shows zeros.
    fn crashed(&self, chooser: &mut dyn Choose) -> Vec<u8> {
        let mut content = self.durable.clone();
        let mut lens = vec![(content.len(), None)];
        for (number, op) in self.pending.iter().enumerate() {
            let before = content.len();
            op.apply(&mut content);
            if content.len() != before {
                lens.push((content.len(), Some(number)));
            }
        }
        let (len, last) = lens
            .get(chooser.pick(lens.len()))
            .copied()
            .unwrap_or_default();
        let versions = self.versions(last);
        let mut left = self.durable.clone();
        left.resize(content.len().max(left.len()).max(len), 0);
        for (sector, versions) in versions {
            if let Some(version) = versions.get(chooser.pick(versions.len())) {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(left.len());
                if let (Some(place), Some(from)) =
                    (left.get_mut(start..end), version.get(..end - start))
                {
                    place.copy_from_slice(from);
                }
            }
        }
        left.resize(len, 0);
        left
    }

    /// The contents that each touched sector had, oldest first, filled up with zeros behind the end of the file, where
    /// `last` is the last operation whose length was kept.
    fn versions(&self, last: Option<usize>) -> BTreeMap<usize, Vec<Vec<u8>>> {
        let mut content = self.durable.clone();
        let mut versions: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for (number, op) in self.pending.iter().enumerate() {
            let before = content.len();
            let touched = op.sectors(before);
            for sector in touched.clone() {
                versions
                    .entry(sector)
                    .or_insert_with(|| vec![sector_of(&content, sector)]);
            }
            op.apply(&mut content);
            let cut = content.len() < before;
            let kept = last.is_some_and(|last| number <= last);
            for sector in touched {
                let whole = sector * SECTOR >= content.len();
                let now = sector_of(&content, sector);
                let Some(of_sector) = versions.get_mut(&sector) else {
                    continue;
                };
                if cut && kept {
                    let kept_bytes = content.len().saturating_sub(sector * SECTOR);
                    for version in of_sector.iter_mut() {
                        version.truncate(kept_bytes);
                        version.resize(SECTOR, 0);
                    }
                    of_sector.dedup();
                } else if !(cut && whole) && of_sector.last() != Some(&now) {
                    of_sector.push(now);
                }
            }
        }
        versions
    }
}

/// One sector of a file, filled up with zeros behind its end.
fn sector_of(content: &[u8], sector: usize) -> Vec<u8> {
    let start = (sector * SECTOR).min(content.len());
    let end = (start + SECTOR).min(content.len());
    let mut bytes = content.get(start..end).unwrap_or_default().to_vec();
    bytes.resize(SECTOR, 0);
    bytes
}

impl DirOp {
    fn apply(&self, entries: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Link { name, node } => {
                entries.insert(name.clone(), *node);
            }
            Self::Unlink { name } => {
                entries.remove(name);
            }
            Self::Rename { from, to, node } => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }

    fn names(&self) -> Vec<&String> {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => vec![name],
            Self::Rename { from, to, .. } => vec![from, to],
        }
    }
}

impl DirNode {
    fn push(&mut self, op: DirOp) {
        op.apply(&mut self.cached);
        self.pending.push(op);
    }

    pub(super) fn unlink(&mut self, name: &str) {
        let name = name.to_owned();
        self.push(DirOp::Unlink { name });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, node: NodeId) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.push(DirOp::Rename { from, to, node });
    }

    pub(super) fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.apply(&mut self.durable);
        }
    }

    /// The entries that a power cut leaves: each operation is there or not, but never without the earlier ones on the
    /// same names.
    fn crashed(&self, chooser: &mut dyn Choose) -> BTreeMap<String, NodeId> {
        let mut left = self.durable.clone();
        let mut undone = BTreeSet::new();
        for op in &self.pending {
            let possible = !op.names().into_iter().any(|name| undone.contains(name));
            if possible && chooser.pick(2) == 1 {
                op.apply(&mut left);
            } else {
                undone.extend(op.names().into_iter().cloned());
            }
        }
        left
    }
}

impl Disk {
    /// An empty root directory.
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::Dir(DirNode::default())],
        }
    }

    pub(super) fn file(&mut self, id: NodeId) -> Option<&mut FileNode> {
        match self.nodes.get_mut(id.0) {
            Some(Node::File(file)) => Some(file),
            Some(Node::Dir(_)) | None => None,
        }
    }

    pub(super) fn dir(&mut self, id: NodeId) -> Option<&mut DirNode> {
        match self.nodes.get_mut(id.0) {
            Some(Node::Dir(dir)) => Some(dir),
            Some(Node::File(_)) | None => None,
        }
    }

    fn link(&mut self, dir: NodeId, name: &str, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        if let Some(dir) = self.dir(dir) {
            let name = name.to_owned();
            dir.push(DirOp::Link { name, node: id });
        }
        id
    }

    pub(super) fn link_file(&mut self, dir: NodeId, name: &str) -> NodeId {
        self.link(dir, name, Node::File(FileNode::default()))
    }

    pub(super) fn link_dir(&mut self, dir: NodeId, name: &str) -> NodeId {
        self.link(dir, name, Node::Dir(DirNode::default()))
    }

    /// Every file and directory under `dir`, parents first, with its path from there. Files have their length.
    pub(super) fn walk(&self, dir: NodeId) -> Vec<(String, NodeId, Option<usize>)> {
        let mut found = Vec::new();
        let mut todo = vec![(String::new(), dir)];
        while let Some((path, id)) = todo.pop() {
            let Some(Node::Dir(dir)) = self.nodes.get(id.0) else {
                continue;
            };
            for (name, child) in &dir.cached {
                let path = format!("{path}{name}");
                match self.nodes.get(child.0) {
                    Some(Node::File(file)) => found.push((path, *child, Some(file.cached.len()))),
                    Some(Node::Dir(_)) => {
                        found.push((path.clone(), *child, None));
                        todo.push((format!("{path}/"), *child));
                    }
                    None => {}
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Bytes in all files that have a name.
    pub(super) fn used(&self) -> usize {
        let sizes = self.walk(ROOT).into_iter().filter_map(|(_, _, len)| len);
        sizes.sum()
    }

    /// What is there after a power cut, with nothing unsynced any more.
    pub(super) fn crashed(&self, chooser: &mut dyn Choose) -> Self {
        let mut left = self.clone();
        for node in &mut left.nodes {
            if let Node::Dir(dir) = node {
                dir.durable = dir.crashed(chooser);
                dir.pending.clear();
                dir.cached.clone_from(&dir.durable);
                // A removal that did not reach the disk has not happened.
                dir.removed = false;
            }
        }
        // Nobody asks what became of a file that has lost its name.
        left.prune();
        for node in &mut left.nodes {
            if let Node::File(file) = node {
                file.sync_fails(chooser);
                file.cached.clone_from(&file.durable);
                file.locked = false;
            }
        }
        left
    }

    /// What is there after the death of the process alone: the cache lives on, with what is not yet synced.
    pub(super) fn killed(&self) -> Self {
        let mut left = self.clone();
        for node in &mut left.nodes {
            if let Node::File(file) = node {
                file.locked = false;
            }
        }
        left
    }

    /// Empties the files that nothing leads to, so that long chains of crashes do not grow.
    fn prune(&mut self) {
        let reachable: BTreeSet<NodeId> =
            self.walk(ROOT).into_iter().map(|(_, id, _)| id).collect();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let id = NodeId(number);
            if id != ROOT && !reachable.contains(&id) {
                *node = Node::File(FileNode::default());
            }
        }
    }
}
